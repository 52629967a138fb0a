#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

struct StartTask {
  Rows<float> out;
  const float* bias = nullptr;  // null: none
  Rows<const float> residual;
  unsigned columns = 0;
};

// out = bias + residual, to which experts add their parts; one block a row.
__global__ void __launch_bounds__(kThreadsPerRow) start_rows(StartTask task) {
  float* out = task.out.row(blockIdx.x);
  for (unsigned i = threadIdx.x; i < task.columns; i += kThreadsPerRow) {
    float value = task.bias == nullptr ? 0 : task.bias[i];
    if (task.residual.data != nullptr) value += task.residual.row(blockIdx.x)[i];
    out[i] = value;
  }
}

struct ShareTask {
  Rows<const float> parts;                // [rows of the expert, columns]
  const std::uint32_t* chosen = nullptr;  // [rows of the expert]: the row of each in out
  const float* shares = nullptr;          // [rows of the expert]
  Rows<float> out;
  unsigned columns = 0;
};

// out[chosen[i]] += shares[i] * parts[i]; one block a row. An expert has a row once, and experts
// come one after the other, so that no two blocks meet.
__global__ void __launch_bounds__(kThreadsPerRow) add_shares(ShareTask task) {
  const float share = task.shares[blockIdx.x];
  const float* part = task.parts.row(blockIdx.x);
  float* out = task.out.row(task.chosen[blockIdx.x]);
  for (unsigned i = threadIdx.x; i < task.columns; i += kThreadsPerRow) out[i] += share * part[i];
}

}  // namespace sheaf::kernels::cuda
