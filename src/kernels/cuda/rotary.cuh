#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

struct RotaryTask {
  Rows<float> x;                          // [rows, heads * head_size]
  const std::uint32_t* places = nullptr;  // [rows]: of each in its text
  unsigned heads = 0;
  unsigned head_size = 0;
  const float* cosines = nullptr;  // [positions, pairs]
  const float* sines = nullptr;    // [positions, pairs]
  unsigned pairs = 0;
};

// Turns value i and value i + pairs of each head by their angle; one block a row.
__global__ void __launch_bounds__(kThreadsPerRow) rotate_rows(RotaryTask task) {
  float* row = task.x.row(blockIdx.x);
  const std::size_t angles = std::size_t{task.places[blockIdx.x]} * task.pairs;
  for (unsigned i = threadIdx.x; i < task.heads * task.pairs; i += kThreadsPerRow) {
    const unsigned pair = i % task.pairs;
    float* left = row + i / task.pairs * task.head_size + pair;
    float* right = left + task.pairs;
    const float cosine = task.cosines[angles + pair];
    const float sine = task.sines[angles + pair];
    const float a = *left;
    const float b = *right;
    *left = a * cosine - b * sine;
    *right = b * cosine + a * sine;
  }
}

}  // namespace sheaf::kernels::cuda
