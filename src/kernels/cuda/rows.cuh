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

// Whether each row begins at a multiple of kBytes; where there is none they all do.
template <unsigned kBytes, class T>
__host__ __device__ bool lies_at(const Rows<T>& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.data) % kBytes == 0 &&
         (rows.data == nullptr || rows.stride * sizeof(T) % kBytes == 0);
}

// Neighbouring elements that are read or written at once.
template <class E, unsigned kCount>
struct alignas(sizeof(E) * kCount) Pack {
  E elements[kCount];
};
template <class E, unsigned kCount>
constexpr unsigned kAtOnce = kCount * sizeof(E) <= 16 ? kCount : 16 / sizeof(E);

// kCount neighbouring elements, a power of two, as float32. They lie at a multiple of their bytes,
// or of 16 where they are more.
template <unsigned kCount, class E>
__device__ inline void load(const E* from, float (&to)[kCount]) {
  constexpr unsigned kStep = kAtOnce<E, kCount>;
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; i += kStep) {
    const auto pack = *reinterpret_cast<const Pack<E, kStep>*>(from + i);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kStep; ++j) to[i + j] = to_float(pack.elements[j]);
  }
}
// Added to what `to` holds.
template <unsigned kCount, class E>
__device__ inline void add(const E* from, float (&to)[kCount]) {
  float values[kCount];
  load<kCount>(from, values);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) to[i] += values[i];
}
// Rounded to E; where they may lie as for load().
template <unsigned kCount, class E>
__device__ inline void store(const float (&from)[kCount], E* to) {
  constexpr unsigned kStep = kAtOnce<E, kCount>;
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; i += kStep) {
    Pack<E, kStep> pack;
    SHEAF_UNROLL
    for (unsigned j = 0; j < kStep; ++j) pack.elements[j] = from_float<E>(from[i + j]);
    *reinterpret_cast<Pack<E, kStep>*>(to + i) = pack;
  }
}

template <class T>
__device__ inline T smaller(T a, T b) {
  return b < a ? b : a;
}
template <class T>
__device__ inline T larger(T a, T b) {
  return a < b ? b : a;
}

// Over so many neighbouring lanes, a power of two; every lane gets the result of its own group. All
// of the warp call it.
template <unsigned kLanes>
__device__ inline float sum_of_lanes(float x) {
  for (int step = kLanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
__device__ inline float sum_of_warp(float x) { return sum_of_lanes<kWarpSize>(x); }
__device__ inline float largest_of_warp(float x) {
  for (int step = kWarpSize / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// One warp a row, kRowsPerBlock of them a block.
constexpr unsigned kRowsPerBlock = 4;
__device__ inline unsigned row_of_warp() {
  return blockIdx.x * kRowsPerBlock + threadIdx.x / kWarpSize;
}
__device__ inline unsigned lane_of_thread() { return threadIdx.x % kWarpSize; }

// What a thread of a kernel takes of a row at once where all rows lie at multiples of 16 bytes and
// have a multiple of so many columns; elsewhere one element.
constexpr unsigned kWide = 8;

template <class E>
Rows<const E> vector_of(const E* values) {
  return {values, 0};
}
// Whether all rows of so many columns are read and written kWide at a time.
template <class... E>
bool is_wide(std::size_t columns, const Rows<E>&... rows) {
  return columns % kWide == 0 && (lies_at<16>(rows) && ...);
}

// Neighbouring columns of a row, a thread each; rows one behind the other.
constexpr unsigned kThreadsPerBlock = 128;
struct Place {
  unsigned row = 0;
  unsigned column = 0;
};
template <unsigned kCount>
__device__ inline Place place_of_thread(unsigned columns) {
  const unsigned i = blockIdx.x * kThreadsPerBlock + threadIdx.x;
  const unsigned per_row = columns / kCount;
  return {i / per_row, i % per_row * kCount};
}

}  // namespace sheaf::kernels::cuda
