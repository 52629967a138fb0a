#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/quantize.cuh"

// A gate whose results are written as the product behind them takes them, in fp8 or int8: without
// that they would be written as states, read again, and written once more. They are rounded to E
// first, as gate() would leave them. A row, or in int8 a block of it, is kept in shared memory
// until its largest number is known; a thread reads there what it has written itself.
namespace sheaf::kernels::cuda {

template <class E, class Q>
struct QuantizedGateTask {
  QuantizeTask<E, Q> rows;  // of x [rows, 2 * columns], whose rows are not chosen
  Activation activation = Activation::none;

  // activation(left half) * right half of columns [column, column + kCount), also into `kept`.
  template <unsigned kCount>
  __device__ void gate(const E* left, unsigned column, E* kept, float (&x)[kCount]) const {
    float factors[kCount];
    load<kCount>(left + column, x);
    load<kCount>(left + rows.columns + column, factors);
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i) x[i] = activate(activation, x[i]) * factors[i];
    store<kCount>(x, kept);
    load<kCount>(kept, x);
  }
};

// A warp a row.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize, 8)
    gate_to_int8(QuantizedGateTask<E, Int8> task) {
  const unsigned row = row_of_warp();
  if (row >= task.rows.rows) return;
  const E* const left = task.rows.x.row(row);
  E* const kept = shared_memory<E>() + threadIdx.x / kWarpSize * kInt8Block;
  const auto first = [&](unsigned column, float(&x)[kCount]) {
    task.gate(left, column, kept + column % kInt8Block, x);
  };
  const auto again = [&](unsigned column, float(&x)[kCount]) {
    load<kCount>(kept + column % kInt8Block, x);
  };
  quantize_row<kCount>(task.rows, row, first, again);
}
template <class E>
constexpr std::size_t kGateToInt8Bytes = kRowsPerBlock* kInt8Block * sizeof(E);

// A block a row: with several rows in its shared memory few warps would be on a multiprocessor.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) gate_to_fp8(QuantizedGateTask<E, Fp8> task) {
  constexpr unsigned kWarps = kThreadsPerBlock / kWarpSize, kStep = kThreadsPerBlock * kCount;
  float* const of_warps = shared_memory<float>();  // the largest of each, then what spoils it
  E* const kept = reinterpret_cast<E*>(of_warps + 2 * kWarps);
  const unsigned row = blockIdx.x, first = threadIdx.x * kCount;
  const E* const left = task.rows.x.row(row);
  float x[kCount];
  float largest = 0, spoilt = 0;
  for (unsigned i = first; i < task.rows.columns; i += kStep) {
    task.gate(left, i, kept + i, x);
    look_at<kCount>(x, largest, spoilt);
  }
  largest = largest_of_warp(largest);
  spoilt = sum_of_warp(spoilt);
  if (lane_of_thread() == 0) {
    of_warps[threadIdx.x / kWarpSize] = largest;
    of_warps[kWarps + threadIdx.x / kWarpSize] = spoilt;
  }
  __syncthreads();
  for (unsigned warp = 0; warp < kWarps; ++warp) {
    largest = fmaxf(largest, of_warps[warp]);
    spoilt += of_warps[kWarps + warp];
  }
  const float scale = scale_of<Fp8>(largest);
  if (threadIdx.x == 0) task.rows.scales[row] = scale + spoilt;
  Fp8* const to = task.rows.out + std::size_t{row} * task.rows.width;
  for (unsigned i = first; i < task.rows.columns; i += kStep) {
    load<kCount>(kept + i, x);
    store_quantized<kCount>(x, 1 / scale, to + i);
  }
}
template <class E>
constexpr std::size_t gate_to_fp8_bytes(std::size_t columns) {
  return 2 * kThreadsPerBlock / kWarpSize * sizeof(float) + columns * sizeof(E);
}

}  // namespace sheaf::kernels::cuda
