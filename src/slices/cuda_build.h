#pragma once

#include <string_view>

// What sheaf's builds for cards need of card and driver: one table, by which `sheaf slices check`
// speaks and which docs/cuda.md repeats (tests/docs_test.py holds the page against it). What a
// program that is there can do it says itself (`sheaf-replica-cuda devices`).
namespace sheaf::slices {

struct CudaBuild {
  std::string_view command;       // that makes it
  std::string_view compiled_for;  // as nvcc -arch takes it
  int compute_capability = 0;     // on which that code runs, and on no other; 90 for 9.0
  std::string_view cards;         // that have it
  int cuda_min = 0;               // of the driver, 13000 for 13.0
  std::string_view driver_min;    // that is for that CUDA
};

inline constexpr CudaBuild kCudaBuilds[] = {
    {"make cuda", "sm_90a", 90, "H100, H200, GH200", 13000, "580"},
};

// Whose code runs on cards of that compute capability; nullptr: none's.
constexpr const CudaBuild* find_cuda_build(int compute_capability) {
  for (const CudaBuild& build : kCudaBuilds)
    if (build.compute_capability == compute_capability) return &build;
  return nullptr;
}

}  // namespace sheaf::slices
