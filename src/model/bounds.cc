#include "model/bounds.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sheaf::model {
namespace {

// How far a rounded number is off, as a part of itself, and of the largest one.
constexpr float kOfItself = 1.0f / 15, kOfLargest = 0x1p-10f / 448;
constexpr float kMost = 1e30f;  // beyond which a scale's inverse would be none

float shift_of(const NormValues& norm, std::size_t i) {
  return norm.shift.empty() ? 0 : norm.shift[i];
}

float largest_in(tensor::MatrixView x) {
  float largest = 0;
  for (std::size_t n = 0; n < x.rows; ++n)
    for (std::size_t i = 0; i < x.columns; ++i) largest = std::max(largest, std::abs(x.row(n)[i]));
  return largest;
}

// The most that what the norm writes can add up to, each number without its sign.
float sum_of(const NormValues& norm, float root) {
  float squares = 0, shifts = 0;
  for (std::size_t i = 0; i < norm.scale.size(); ++i) {
    squares += norm.scale[i] * norm.scale[i];
    shifts += std::abs(shift_of(norm, i));
  }
  return root * std::sqrt(squares) + shifts;
}

}  // namespace

float largest_of(const NormValues& norm) {
  const float root = std::sqrt(static_cast<float>(norm.scale.size()));
  float largest = 0;
  for (std::size_t i = 0; i < norm.scale.size(); ++i)
    largest = std::max(largest, root * std::abs(norm.scale[i]) + std::abs(shift_of(norm, i)));
  return std::min(largest, kMost);
}

float largest_of_product(const NormValues& norm, tensor::MatrixView weight, const float* bias) {
  const float root = std::sqrt(static_cast<float>(weight.columns));
  const float input_step = kOfLargest * largest_of(norm),
              weight_step = kOfLargest * largest_in(weight);
  const float inputs = sum_of(norm, root);
  float largest = 0;
  for (std::size_t n = 0; n < weight.rows; ++n) {
    const float* const row = weight.row(n);
    float squares = 0, shifted = bias == nullptr ? 0 : bias[n], moved = 0, weights = 0;
    for (std::size_t i = 0; i < weight.columns; ++i) {
      const float scaled = row[i] * norm.scale[i], by_shift = row[i] * shift_of(norm, i);
      squares += scaled * scaled;
      shifted += by_shift;
      moved += std::abs(by_shift);
      weights += std::abs(row[i]);
    }
    const float of_norm = root * std::sqrt(squares);
    const float off = (2 + kOfItself) * kOfItself * (of_norm + moved) +
                      (1 + kOfItself) * (input_step * weights + weight_step * inputs) +
                      input_step * weight_step * static_cast<float>(weight.columns);
    largest = std::max(largest, of_norm + std::abs(shifted) + off);
  }
  return std::min(largest, kMost);
}

}  // namespace sheaf::model
