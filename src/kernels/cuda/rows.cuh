#pragma once

#include "kernels/cuda/target.cuh"

namespace sheaf::kernels::cuda {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffff;

// A row-major matrix on the device; without data: none.
template <class T>
struct Rows {
  T* data = nullptr;
  std::size_t stride = 0;  // elements from one row to the next

  __device__ T* row(std::size_t i) const { return data + i * stride; }
};

template <class T>
__device__ inline T smaller(T a, T b) {
  return b < a ? b : a;
}
template <class T>
__device__ inline T larger(T a, T b) {
  return a < b ? b : a;
}

// Over the lanes of the calling warp; every lane gets the result.
__device__ inline float sum_of_warp(float x) {
  for (int step = kWarpSize / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
__device__ inline float largest_of_warp(float x) {
  for (int step = kWarpSize / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// One warp a row, kRowsPerBlock of them a block.
constexpr unsigned kRowsPerBlock = 4;
__device__ inline std::size_t row_of_warp() {
  return std::size_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarpSize;
}
__device__ inline unsigned lane_of_thread() { return threadIdx.x % kWarpSize; }

// One block a row.
constexpr unsigned kThreadsPerRow = 128;

}  // namespace sheaf::kernels::cuda
