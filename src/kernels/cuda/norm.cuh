#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

struct NormTask {
  Rows<const float> x, residual;
  Rows<float> out;  // may be x
  // A row consists of so many parts, each normalized by itself.
  unsigned parts = 1;
  std::size_t count = 0;  // rows times parts
  unsigned columns = 0;   // of a part
  const float* scale = nullptr;
  const float* shift = nullptr;  // null: none
  float epsilon = 0;
  bool centered = true;
};

// What a warp makes of one row, the same at x and out; a lane reads only what it wrote itself.
// Mean and variance are taken one after the other: their difference of sums would lose what is
// left.
__device__ inline void normalize_row(const NormTask& task, const float* x, const float* residual,
                                     float* out) {
  const unsigned lane = lane_of_thread();
  const float n = static_cast<float>(task.columns);
  float mean = 0;
  if (task.centered) {
    float sum = 0;
    for (unsigned i = lane; i < task.columns; i += kWarpSize) sum += x[i];
    mean = sum_of_warp(sum) / n;
  }
  float squares = 0;
  for (unsigned i = lane; i < task.columns; i += kWarpSize)
    squares += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1 / sqrtf(sum_of_warp(squares) / n + task.epsilon);
  for (unsigned i = lane; i < task.columns; i += kWarpSize) {
    float value = (x[i] - mean) * inverse * task.scale[i];
    if (task.shift != nullptr) value += task.shift[i];
    if (residual != nullptr) value += residual[i];
    out[i] = value;
  }
}

__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) normalize_rows(NormTask task) {
  const std::size_t i = row_of_warp();
  if (i >= task.count) return;
  const std::size_t row = i / task.parts;
  const std::size_t first = i % task.parts * task.columns;
  normalize_row(task, task.x.row(row) + first,
                task.residual.data == nullptr ? nullptr : task.residual.row(row) + first,
                task.out.row(row) + first);
}

}  // namespace sheaf::kernels::cuda
