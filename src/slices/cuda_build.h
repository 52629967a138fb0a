#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string_view>

// What sheaf's builds for cards need of card and driver: one table, by which `sheaf slices check`
// speaks and which docs/cuda.md repeats (tests/docs_test.py holds the page against it). What a
// program that is there can do it says itself (`sheaf-replica-cuda devices`).
namespace sheaf::slices {

struct CudaBuild {
  std::string_view command;       // that makes it
  std::string_view compiled_for;  // as nvcc -arch takes it
  // On which that code runs, and on no other; 90 for 9.0. Zeros are none.
  std::array<int, 11> compute_capabilities = {};
  std::string_view range;       // of them: "8.0 to 12.1"
  std::string_view cards;       // that have one
  int cuda_min = 0;             // of the driver, 13000 for 13.0
  std::string_view driver_min;  // that is for that CUDA
};

inline constexpr CudaBuild kCudaBuilds[] = {
    {"make cuda", "sm_90a", {90}, "9.0", "H100, H200, GH200", 13000, "580"},
    {"make release-cuda",
     "sm_80, sm_86, sm_89, sm_90a, sm_100 and its PTX",
     {80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121},
     "8.0 to 12.1",
     "A100, A30, A10, RTX 30, 40 and 50, L4, L40, H100, H200, B200",
     13000,
     "580"},
    {"make cuda-12",
     "sm_80, sm_86, sm_89, sm_90a",
     {80, 86, 87, 88, 89, 90},
     "8.0 to 9.0",
     "A100, A30, A10, RTX 30 and 40, L4, L40, H100, H200",
     12000,
     "525"},
};

// The first that serves is the one to be had; the last is that for the oldest drivers.
static_assert(std::ranges::is_sorted(kCudaBuilds, std::ranges::greater{}, &CudaBuild::cuda_min));

// The first that a driver for that CUDA runs; nullptr: none.
constexpr const CudaBuild* find_driver_build(int cuda_version) {
  for (const CudaBuild& build : kCudaBuilds)
    if (build.cuda_min <= cuda_version) return &build;
  return nullptr;
}

// The first whose code runs on cards of that compute capability, above 0, by a driver for that CUDA
// or by any; nullptr: none's.
inline constexpr int kAnyCuda = std::numeric_limits<int>::max();
constexpr const CudaBuild* find_cuda_build(int compute_capability, int cuda_version = kAnyCuda) {
  for (const CudaBuild& build : kCudaBuilds)
    if (build.cuda_min <= cuda_version &&
        std::ranges::find(build.compute_capabilities, compute_capability) !=
            build.compute_capabilities.end())
      return &build;
  return nullptr;
}

}  // namespace sheaf::slices
