#pragma once

#include "kernels/cuda/target.cuh"

// Copies to shared memory that go on while the thread computes. In the words of PTX: cp.async. What
// a thread copies is there for itself after await_copies(), for others behind a barrier after that.
namespace sheaf::kernels::cuda {

// `bytes`, none or 16, are copied and the rest of 16 becomes 0. Both addresses are multiples of 16.
__device__ inline void copy_later(const void* from, unsigned bytes, void* to);

// Ends a group of copies; every copy belongs to one.
__device__ inline void commit_copies();

// Waits for the thread's groups but for the kPending latest.
template <unsigned kPending>
__device__ void await_copies();

#if defined(__CUDACC__)

__device__ inline void copy_later(const void* from, unsigned bytes, void* to) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <unsigned kPending>
__device__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

#else

inline void copy_later(const void* from, unsigned bytes, void* to) {
  emulation::copy_later(from, bytes, to);
}
inline void commit_copies() { emulation::commit_copies(); }
template <unsigned kPending>
void await_copies() {
  emulation::await_copies(kPending);
}

#endif

}  // namespace sheaf::kernels::cuda
