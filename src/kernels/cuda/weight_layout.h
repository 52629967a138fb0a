#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/quantize.cuh"
#include "kernels/input_balance.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// A matrix as a product takes it, each row as long as there are inputs: in T, or quantized, with
// what it was divided by (quantize.cuh), and in int8 of a weight with its inputs' balance.
struct Factor {
  const void* data = nullptr;
  std::size_t stride = 0;  // elements
  const float* scales = nullptr;
  const float* balance = nullptr;
  bool one_scale = false;  // for all rows
};

// What the numbers of a product with bounds are divided by in fp8, one scale for all of a kind. It
// lies behind the weight's codes, on the card.
struct BoundedScales {
  float weight = 0;
  float inputs = 0;
  float outputs_inverse = 0;  // of no meaning where nobody takes outputs in fp8
};

// Of quantized rows: codes of a byte each, and behind them the scales, as quantize.cuh has both.
struct QuantizedShape {
  std::size_t rows;
  std::size_t block;  // columns that share a scale
  std::size_t blocks;

  std::size_t width() const { return blocks * block; }
  std::size_t code_floats() const { return rows * width() / sizeof(float); }
  std::size_t floats() const { return code_floats() + blocks * rows_of_scales(rows); }
};

// How weights of products in T lie in a packed file and on a card, and which of them are quantized.
template <class T>
class WeightLayout {
 public:
  explicit WeightLayout(const CardPrecision& precision) : precision_(precision) {}

  Dtype dtype() const { return precision_.dtype; }
  bool is_quantized(Role role, std::size_t inputs, std::size_t outputs) const {
    const bool wanted = role == Role::feed_forward || role == Role::bounded_feed_forward ||
                        (role == Role::attention && precision_.attention);
    return wanted && may_be_quantized(inputs) && (is_int8() || outputs % kFp8Step == 0);
  }
  bool is_quantized(const Linear& weight) const {
    return is_quantized(weight.role, weight.inputs, weight.outputs);
  }
  // Whether all its rows have one scale.
  bool is_bounded(Role role, std::size_t inputs, std::size_t outputs) const {
    return role == Role::bounded_feed_forward && !is_int8() && is_quantized(role, inputs, outputs);
  }
  bool is_bounded(const Linear& weight) const {
    return is_bounded(weight.role, weight.inputs, weight.outputs);
  }
  // Of a product with so many inputs.
  bool may_be_quantized(std::size_t inputs) const {
    return is_int8() || (precision_.dtype == Dtype::fp8 && inputs % kFp8Step == 0);
  }
  // Of so many quantized rows.
  QuantizedShape quantized_shape(std::size_t rows, std::size_t columns) const {
    const std::size_t block = is_int8() ? kInt8Block : columns;
    return {rows, block, (columns + block - 1) / block};
  }

  // Of an operand's rows in T; the library wants each to begin at a multiple of 16 bytes.
  static std::size_t stride_of(std::size_t columns) { return round_up(columns, 16 / sizeof(T)); }
  static std::size_t operand_floats(std::size_t rows, std::size_t columns) {
    return (rows * stride_of(columns) * sizeof(T) + sizeof(float) - 1) / sizeof(float);
  }

  // [outputs, stride_of(inputs)] in T; columns beyond the inputs are 0. Quantized as QuantizedShape
  // has it, in int8 behind the balance of the inputs; with bounds the codes and BoundedScales.
  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role role) const {
    if (!is_quantized(role, inputs, outputs)) return round_up(operand_floats(outputs, inputs), 16);
    const QuantizedShape shape = quantized_shape(outputs, inputs);
    if (is_bounded(role, inputs, outputs))
      return round_up(shape.code_floats() + sizeof(BoundedScales) / sizeof(float), 16);
    return round_up(balance_floats(shape) + shape.floats(), 16);
  }
  void pack(MatrixView weight, const Known& known, float* packed, Role role) const {
    if (is_bounded(role, weight.columns, weight.rows)) return pack_bounded(weight, known, packed);
    if (is_quantized(role, weight.columns, weight.rows)) {
      if (!is_int8()) return pack_quantized<Fp8>(weight, nullptr, packed);
      balance_inputs(weight, known.input_sizes, packed);
      const QuantizedShape shape = quantized_shape(weight.rows, weight.columns);
      return pack_quantized<Int8>(weight, packed, packed + balance_floats(shape));
    }
    const std::size_t stride = stride_of(weight.columns);
    T* out = reinterpret_cast<T*>(packed);
    for (std::size_t n = 0; n < weight.rows; ++n, out += stride)
      for (std::size_t i = 0; i < stride; ++i)
        out[i] = from_float<T>(i < weight.columns ? weight.row(n)[i] : 0);
  }
  Factor factor_of(const Linear& weight) const {
    if (!is_quantized(weight)) return {weight.weight, stride_of(weight.inputs)};
    const QuantizedShape shape = quantized_shape(weight.outputs, weight.inputs);
    const float* const codes = weight.weight + balance_floats(shape);
    if (is_bounded(weight))
      return {.data = codes,
              .stride = shape.width(),
              .scales = &scales_of(weight)->weight,
              .one_scale = true};
    return {codes, shape.width(), codes + shape.code_floats(), is_int8() ? weight.weight : nullptr};
  }

  // Of a product with bounds.
  const BoundedScales* scales_of(const Linear& weight) const {
    const QuantizedShape shape = quantized_shape(weight.outputs, weight.inputs);
    return reinterpret_cast<const BoundedScales*>(weight.weight + shape.code_floats());
  }

 private:
  // What the sizes of a product in fp8 are multiples of, as the library wants it.
  static constexpr std::size_t kFp8Step = 16;

  static constexpr std::size_t round_up(std::size_t n, std::size_t to) {
    return (n + to - 1) / to * to;
  }
  bool is_int8() const { return precision_.dtype == Dtype::int8; }
  std::size_t balance_floats(const QuantizedShape& shape) const {
    return is_int8() ? shape.width() : 0;
  }

  void pack_bounded(MatrixView weight, const Known& known, float* packed) const {
    float largest = 0, spoilt = 0;
    for (std::size_t n = 0; n < weight.rows; ++n)
      for (std::size_t i = 0; i < weight.columns; ++i) {
        largest = std::max(largest, std::abs(weight.row(n)[i]));
        spoilt += 0 * weight.row(n)[i];  // 0, or no number
      }
    const float scale = scale_of<Fp8>(largest), inverse = 1 / scale;
    auto* codes = reinterpret_cast<Fp8*>(packed);
    for (std::size_t n = 0; n < weight.rows; ++n)
      for (std::size_t i = 0; i < weight.columns; ++i)
        *codes++ = quantized<Fp8>(weight.row(n)[i], inverse);
    const QuantizedShape shape = quantized_shape(weight.rows, weight.columns);
    *reinterpret_cast<BoundedScales*>(packed + shape.code_floats()) = {
        .weight = scale + spoilt,
        .inputs = scale_of<Fp8>(known.largest_input),
        .outputs_inverse = 1 / scale_of<Fp8>(known.largest_output)};
  }

  // Each number divided by `balance` of its column first, if that is there.
  template <class Q>
  void pack_quantized(MatrixView weight, const float* balance, float* packed) const {
    const QuantizedShape shape = quantized_shape(weight.rows, weight.columns);
    std::vector<float> x(shape.block);
    for (std::size_t block = 0; block < shape.blocks; ++block)
      for (std::size_t n = 0; n < weight.rows; ++n) {
        float largest = 0, spoilt = 0;
        for (std::size_t i = 0; i < shape.block; ++i) {
          const std::size_t column = block * shape.block + i;
          const float divisor = balance == nullptr ? 1 : balance[column];
          x[i] = column < weight.columns ? weight.row(n)[column] / divisor : 0;
          largest = std::max(largest, std::abs(x[i]));
          spoilt += 0 * x[i];  // 0, or no number
        }
        const float scale = scale_of<Q>(largest);
        const float inverse = 1 / scale;
        auto* codes = reinterpret_cast<Q*>(packed) + (block * weight.rows + n) * shape.block;
        for (const float value : x) *codes++ = quantized<Q>(value, inverse);
        packed[shape.code_floats() + block * rows_of_scales(weight.rows) + n] = scale + spoilt;
      }
  }

  CardPrecision precision_;
};

}  // namespace sheaf::kernels::cuda
