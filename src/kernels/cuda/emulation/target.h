#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/block.h"
#include "kernels/cuda/emulation/warpgroup.h"

// CUDA's words, as far as kernels/cuda uses them, for a compiler that does not know them. Blocks of
// one dimension run one after the other, threads of a block as emulation/block.h says.

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define SHEAF_UNROLL
// Of arithmetic on operands whose places were checked, which sanitizers slow down tenfold.
#define SHEAF_UNWATCHED __attribute__((no_sanitize("address", "undefined")))
#define threadIdx (::sheaf::kernels::cuda::emulation::thread_place())
#define blockDim (::sheaf::kernels::cuda::emulation::block_size())
#define blockIdx (::sheaf::kernels::cuda::emulation::block_place())

namespace sheaf::kernels::cuda {

namespace emulation {

// What launch() is given as a stream: how blocks are to run, and where they are recorded instead of
// run, if anywhere.
struct EmulatedStream {
  Order order = Order::forward;
  std::vector<std::function<void()>>* recorded = nullptr;

  void take(std::function<void()> work) const {
    if (recorded == nullptr) return work();
    recorded->push_back(std::move(work));
  }
};

inline Dim3 thread_place() { return {thread_index(), 0, 0}; }
inline Dim3 block_size() { return {thread_count(), 1, 1}; }
inline Dim3& block_place() {
  thread_local Dim3 place;
  return place;
}

}  // namespace emulation

struct Bfloat16 {
  std::uint16_t bits;
};
struct Half {
  std::uint16_t bits;
};
struct Fp8 {
  std::uint8_t bits;
};
using Stream = const emulation::EmulatedStream*;

inline float to_float(float x) { return x; }
inline float to_float(Bfloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
float to_float(Half x);
float to_float(Fp8 x);

template <class T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
Bfloat16 from_float<Bfloat16>(float x);
template <>
Half from_float<Half>(float x);
template <>
Fp8 from_float<Fp8>(float x);

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(emulation::shared_bytes());
}

// As a card whose shared memory begins at 0.
inline std::uint32_t shared_address(const void* address) {
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(address) -
                                    emulation::shared_bytes());
}

[[noreturn]] inline void __trap() { std::abort(); }
inline void __syncthreads() { emulation::sync_block(); }
inline void __syncwarp() { emulation::exchange_in_warp(nullptr, 0); }

// All lanes of a warp call it alike: `mask` is theirs.
template <class T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int lane_mask) {
  const emulation::Exchange met = emulation::exchange_in_warp(&value, sizeof value);
  const unsigned from = met.lane ^ static_cast<unsigned>(lane_mask);
  if (from < met.lanes) std::memcpy(&value, met.all + from * emulation::kLaneBytes, sizeof value);
  return value;
}
template <class T>
T __shfl_sync(unsigned /*mask*/, T value, int lane) {
  const emulation::Exchange met = emulation::exchange_in_warp(&value, sizeof value);
  std::memcpy(&value, met.all + static_cast<unsigned>(lane) * emulation::kLaneBytes, sizeof value);
  return value;
}

inline float __fdividef(float x, float y) { return x / y; }
inline float __int_as_float(std::int32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline float fast_exp2(float x) {
  const float power = std::exp2(x);
  return power < 0x1p-126f ? 0 : power;
}

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

template <class... Parameters, class... Arguments>
void launch(Stream stream, void (*kernel)(Parameters...), Grid grid, unsigned threads,
            std::size_t shared_bytes, const Arguments&... arguments) {
  stream->take([=, order = stream->order] {
    emulation::Dim3& place = emulation::block_place();
    for (place.z = 0; place.z < grid.z; ++place.z)
      for (place.y = 0; place.y < grid.y; ++place.y)
        for (place.x = 0; place.x < grid.x; ++place.x)
          emulation::run_block({threads, shared_bytes, order}, [&] { kernel(arguments...); });
  });
}

}  // namespace sheaf::kernels::cuda
