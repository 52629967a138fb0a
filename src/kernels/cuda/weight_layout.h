#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/quantize.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// A matrix as a product takes it, each row as long as there are inputs: in T, or in fp8 with what
// each row was divided by.
struct Factor {
  const void* data = nullptr;
  std::size_t stride = 0;  // elements
  const float* scales = nullptr;
};

// How weights of products in T lie in a packed file and on a card, and which of them are in fp8.
template <class T>
class WeightLayout {
 public:
  explicit WeightLayout(const CardPrecision& precision) : precision_(precision) {}

  Dtype dtype() const { return precision_.dtype; }
  bool is_fp8(Role role, std::size_t inputs, std::size_t outputs) const {
    const bool wanted =
        role == Role::feed_forward || (role == Role::attention && precision_.fp8_attention);
    return wanted && may_be_fp8(inputs) && outputs % kFp8Step == 0;
  }
  bool is_fp8(const Linear& weight) const {
    return is_fp8(weight.role, weight.inputs, weight.outputs);
  }
  // Of a product with so many inputs.
  bool may_be_fp8(std::size_t inputs) const {
    return precision_.dtype == Dtype::fp8 && inputs % kFp8Step == 0;
  }

  // Of an operand's rows in T; the library wants each to begin at a multiple of 16 bytes.
  static std::size_t stride_of(std::size_t columns) { return round_up(columns, 16 / sizeof(T)); }
  static std::size_t operand_floats(std::size_t rows, std::size_t columns) {
    return (rows * stride_of(columns) * sizeof(T) + sizeof(float) - 1) / sizeof(float);
  }
  // [rows, columns] in fp8 and [rows] scales behind them.
  static std::size_t fp8_floats(std::size_t rows, std::size_t columns) {
    return rows * columns / sizeof(float) + rows;
  }

  // [outputs, stride_of(inputs)] in T; columns beyond the inputs are 0. In fp8 [outputs, inputs],
  // and behind them a scale an output.
  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role role) const {
    const bool fp8 = is_fp8(role, inputs, outputs);
    return round_up(fp8 ? fp8_floats(outputs, inputs) : operand_floats(outputs, inputs), 16);
  }
  void pack(MatrixView weight, float* packed, Role role) const {
    if (is_fp8(role, weight.columns, weight.rows)) return pack_fp8(weight, packed);
    const std::size_t stride = stride_of(weight.columns);
    T* out = reinterpret_cast<T*>(packed);
    for (std::size_t n = 0; n < weight.rows; ++n, out += stride)
      for (std::size_t i = 0; i < stride; ++i)
        out[i] = from_float<T>(i < weight.columns ? weight.row(n)[i] : 0);
  }
  Factor factor_of(const Linear& weight) const {
    if (!is_fp8(weight)) return {weight.weight, stride_of(weight.inputs)};
    const std::size_t codes = weight.outputs * weight.inputs / sizeof(float);  // in floats
    return {weight.weight, weight.inputs, weight.weight + codes};
  }

 private:
  // What the sizes of a product in fp8 are multiples of, as the library wants it.
  static constexpr std::size_t kFp8Step = 16;

  static constexpr std::size_t round_up(std::size_t n, std::size_t to) {
    return (n + to - 1) / to * to;
  }
  static void pack_fp8(MatrixView weight, float* packed) {
    auto* codes = reinterpret_cast<Fp8*>(packed);
    float* const scales = packed + weight.rows * weight.columns / sizeof(float);
    for (std::size_t n = 0; n < weight.rows; ++n, codes += weight.columns) {
      float largest = 0;
      for (std::size_t i = 0; i < weight.columns; ++i)
        largest = std::max(largest, std::abs(weight.row(n)[i]));
      scales[n] = fp8_scale(largest);
      const float inverse = 1 / scales[n];
      for (std::size_t i = 0; i < weight.columns; ++i)
        codes[i] = from_float<Fp8>(weight.row(n)[i] * inverse);
    }
  }

  CardPrecision precision_;
};

}  // namespace sheaf::kernels::cuda
