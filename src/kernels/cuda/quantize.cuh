#pragma once

#include "kernels/cuda/rows.cuh"

// Rows as a product in fp8 takes them: each divided by a scale of its own, so that its largest
// number becomes the largest of E4M3, and rounded. By rows, since what a text is answered must not
// depend on those that stand beside it.
namespace sheaf::kernels::cuda {

constexpr float kLargestFp8 = 448;

// Of a row whose numbers have this size at most. A row of zeros has one too, and stays zeros.
__host__ __device__ inline float fp8_scale(float largest) {
  constexpr float kLeast = 1e-30f;  // whose inverse is finite
  return (largest < kLeast ? kLeast : largest) / kLargestFp8;
}

template <class E>
struct QuantizeTask {
  Rows<const E> x;
  // Row i is made of x's row chosen[i]; null: of row i.
  const std::uint32_t* chosen = nullptr;
  unsigned rows = 0;
  unsigned columns = 0;
  Rows<Fp8> out;
  float* scales = nullptr;  // [rows]; no number where x has what is none, or infinity
};

template <unsigned kCount, class E>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) quantize_rows(QuantizeTask<E> task) {
  const unsigned row = row_of_warp();
  if (row >= task.rows) return;
  const E* from = task.x.row(task.chosen == nullptr ? row : task.chosen[row]);
  const unsigned first = lane_of_thread() * kCount;
  float x[kCount];
  float largest = 0, spoilt = 0;
  for (unsigned i = first; i < task.columns; i += kWarpSize * kCount) {
    load<kCount>(from + i, x);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) {
      largest = fmaxf(largest, fabsf(x[j]));
      spoilt += 0 * x[j];  // 0, or no number
    }
  }
  const float scale = fp8_scale(largest_of_warp(largest));
  spoilt = sum_of_warp(spoilt);
  if (first == 0) task.scales[row] = scale + spoilt;
  const float inverse = 1 / scale;
  for (unsigned i = first; i < task.columns; i += kWarpSize * kCount) {
    load<kCount>(from + i, x);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) x[j] *= inverse;
    store<kCount>(x, task.out.row(row) + i);
  }
}

}  // namespace sheaf::kernels::cuda
