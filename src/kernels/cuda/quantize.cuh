#pragma once

#include "kernels/cuda/rows.cuh"

// Rows as products in fp8 and int8 take them: numbers are divided by a scale, so that the largest
// becomes the largest of the dtype, and rounded. A scale counts for one row alone, since what a
// text is answered must not depend on those that stand beside it: in fp8 for all of it, in int8,
// whose steps are all of one size, for each kInt8Block of its columns.
namespace sheaf::kernels::cuda {

using Int8 = std::int8_t;
constexpr unsigned kInt8Block = 128;

template <class Q>
constexpr float kLargest = 448;  // of E4M3
template <>
inline constexpr float kLargest<Int8> = 127;

// Of numbers that have this size at most. Zeros have one too, and stay zeros.
template <class Q>
__host__ __device__ float scale_of(float largest) {
  constexpr float kLeast = 1e-30f;  // whose inverse is finite
  return (largest < kLeast ? kLeast : largest) / kLargest<Q>;
}

// x / scale, by the inverse of that, rounded to the nearest; ties to even.
template <class Q>
__host__ __device__ Q quantized(float x, float inverse);
template <>
__host__ __device__ inline Fp8 quantized<Fp8>(float x, float inverse) {
  return from_float<Fp8>(x * inverse);
}
// Rounded once, since bfloat16 often lies near the middle of two steps. What is no number is some.
template <>
__host__ __device__ inline Int8 quantized<Int8>(float x, float inverse) {
  constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it rounds to an integer
  return static_cast<Int8>(fmaxf(fmaf(x, inverse, kRound) - kRound, -127));
}

// How quantized rows lie: codes [blocks, rows, block], so that what a product takes at a time is
// together, and scales [blocks, rows_of_scales(rows)]; no number where the block of the row has
// what is none, or infinity.
__host__ __device__ constexpr std::size_t rows_of_scales(std::size_t rows) {
  return (rows + 3) / 4 * 4;
}

template <class E, class Q>
struct QuantizeTask {
  Rows<const E> x;
  // Row i is made of x's row chosen[i]; null: of row i.
  const std::uint32_t* chosen = nullptr;
  const float* balance = nullptr;  // [width], by which columns are multiplied before; null: 1
  unsigned rows = 0;
  unsigned columns = 0;  // of x
  unsigned width = 0;    // of all blocks, whose columns behind those of x are 0
  unsigned block = 0;    // columns
  Q* out = nullptr;
  float* scales = nullptr;

  // By the balance of columns from `column` on.
  template <unsigned kCount>
  __device__ void multiply_balance(unsigned column, float (&x)[kCount]) const {
    if (balance == nullptr) return;
    float factors[kCount];
    load<kCount>(balance + column, factors);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) x[j] *= factors[j];
  }
};

// Raises `largest` to that of x; `spoilt` becomes no number if one of x is none, or infinite.
template <unsigned kCount>
__device__ void look_at(const float (&x)[kCount], float& largest, float& spoilt) {
  SHEAF_UNROLL
  for (unsigned j = 0; j < kCount; ++j) {
    largest = fmaxf(largest, fabsf(x[j]));
    spoilt += 0 * x[j];  // 0, or no number
  }
}
template <unsigned kCount, class Q>
__device__ void store_quantized(const float (&x)[kCount], float inverse, Q* to) {
  Pack<Q, kCount> codes;
  SHEAF_UNROLL
  for (unsigned j = 0; j < kCount; ++j) codes.elements[j] = quantized<Q>(x[j], inverse);
  *reinterpret_cast<Pack<Q, kCount>*>(to) = codes;
}

// What a warp makes of one row. first(column, x) gives kCount of its numbers, before the balance,
// and again(column, x) the same later in the same lane; columns behind the row's are not asked for.
template <unsigned kCount, class E, class Q, class First, class Again>
__device__ void quantize_row(const QuantizeTask<E, Q>& task, unsigned row, First first_load,
                             Again again) {
  const auto balanced = [&](auto& read, unsigned column, float(&x)[kCount]) {
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) x[j] = 0;
    if (column < task.columns) read(column, x);
    task.multiply_balance(column, x);
  };
  Q* to = task.out + std::size_t{row} * task.block;
  float* scales = task.scales + row;
  for (unsigned block = 0; block < task.width; block += task.block) {
    const unsigned first = lane_of_thread() * kCount;
    float x[kCount];
    float largest = 0, spoilt = 0;
    for (unsigned i = first; i < task.block; i += kWarpSize * kCount) {
      balanced(first_load, block + i, x);
      look_at<kCount>(x, largest, spoilt);
    }
    const float scale = scale_of<Q>(largest_of_warp(largest));
    spoilt = sum_of_warp(spoilt);
    if (first == 0) *scales = scale + spoilt;
    // What is behind the last row products in int8 copy beside its scale.
    if (row + 1 == task.rows && first > 0 && row + lane_of_thread() < rows_of_scales(task.rows))
      scales[lane_of_thread()] = 0;
    scales += rows_of_scales(task.rows);
    const float inverse = 1 / scale;
    for (unsigned i = first; i < task.block; i += kWarpSize * kCount) {
      balanced(again, block + i, x);
      store_quantized<kCount>(x, inverse, to + i);
    }
    to += std::size_t{task.rows} * task.block;
  }
}

// Left to itself ptxas makes room for 16 blocks on a multiprocessor, and spills for it.
template <unsigned kCount, class E, class Q>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize, 8)
    quantize_rows(QuantizeTask<E, Q> task) {
  const unsigned row = row_of_warp();
  if (row >= task.rows) return;
  const E* const from = task.x.row(task.chosen == nullptr ? row : task.chosen[row]);
  const auto read = [&](unsigned column, float(&x)[kCount]) { load<kCount>(from + column, x); };
  quantize_row<kCount>(task, row, read, read);
}

}  // namespace sheaf::kernels::cuda
