#pragma once

// What kernels are written against: CUDA's own words, on a card by nvcc or clang, and by any other
// compiler as emulation/target.h means them, for tests on this processor. Nothing else in this
// folder's kernels knows which of the two it is.

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

// Before a loop whose arrays have to stay in registers.
#define SHEAF_UNROLL _Pragma("unroll")

namespace sheaf::kernels::cuda {

using Bfloat16 = __nv_bfloat16;
using Half = __half;
using Fp8 = __nv_fp8_e4m3;
using Stream = cudaStream_t;

__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(Bfloat16 x) { return __bfloat162float(x); }
__host__ __device__ inline float to_float(Half x) { return __half2float(x); }
__host__ __device__ inline float to_float(Fp8 x) { return static_cast<float>(x); }

// Rounded to the nearest, ties to even; what is too large for Fp8 to 448, its largest.
template <class T>
__host__ __device__ T from_float(float x);
template <>
__host__ __device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__host__ __device__ inline Bfloat16 from_float<Bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__host__ __device__ inline Half from_float<Half>(float x) {
  return __float2half_rn(x);
}
template <>
__host__ __device__ inline Fp8 from_float<Fp8>(float x) {
  return Fp8(x);
}

// The block's dynamic shared memory, from a multiple of 1024 on, as patterns of SwizzledTile begin.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(1024) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

// As PTX names a place in shared memory.
__device__ inline std::uint32_t shared_address(const void* address) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(address));
}

// 2^x by one instruction, to 2 units in the last place (PTX: ex2.approx); below 2^-126 it is 0.
__device__ inline float fast_exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

// Runs `kernel` in blocks of `threads`, in turn with what the stream was given before. An empty
// grid is nothing. Errors show in Device::status().
template <class... Parameters, class... Arguments>
void launch(Stream stream, void (*kernel)(Parameters...), Grid grid, unsigned threads,
            std::size_t shared_bytes, const Arguments&... arguments) {
  // Never less than before: a graph may hold a block that takes more than this one. 99 KB is what
  // every card has for one (sm_86, sm_89, sm_120).
  constexpr std::size_t kWithoutAsking = std::size_t{48} << 10;
  constexpr std::size_t kAnyCard = std::size_t{99} << 10;
  if (grid.x == 0 || grid.y == 0) return;
  if (shared_bytes >= kWithoutAsking)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes < kAnyCard ? kAnyCard : shared_bytes));
  kernel<<<dim3(grid.x, grid.y, grid.z), threads, shared_bytes, stream>>>(arguments...);
}

}  // namespace sheaf::kernels::cuda

#else
#include "kernels/cuda/emulation/target.h"
#endif
