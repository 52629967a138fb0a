#include "model/bounds.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sheaf::model {
namespace {

// By how much a product of two rounded numbers may differ from theirs, as a part of it.
constexpr float kRounding = 2.0f / 15 + 1.0f / 225;

float shift_of(const NormValues& norm, std::size_t i) {
  return norm.shift.empty() ? 0 : norm.shift[i];
}

}  // namespace

float largest_of(const NormValues& norm) {
  const float root = std::sqrt(static_cast<float>(norm.scale.size()));
  float largest = 0;
  for (std::size_t i = 0; i < norm.scale.size(); ++i)
    largest = std::max(largest, root * std::abs(norm.scale[i]) + std::abs(shift_of(norm, i)));
  return largest;
}

float largest_of_product(const NormValues& norm, tensor::MatrixView weight, const float* bias) {
  const float root = std::sqrt(static_cast<float>(weight.columns));
  float largest = 0;
  for (std::size_t n = 0; n < weight.rows; ++n) {
    const float* const row = weight.row(n);
    float squares = 0, shifted = bias == nullptr ? 0 : bias[n], rounded = 0;
    for (std::size_t i = 0; i < weight.columns; ++i) {
      const float scaled = row[i] * norm.scale[i], moved = row[i] * shift_of(norm, i);
      squares += scaled * scaled;
      shifted += moved;
      rounded += std::abs(moved);
    }
    const float of_norm = root * std::sqrt(squares);
    largest = std::max(largest, of_norm + std::abs(shifted) + kRounding * (of_norm + rounded));
  }
  return largest;
}

}  // namespace sheaf::model
