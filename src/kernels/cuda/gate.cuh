#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

struct GateTask {
  Rows<const float> x;  // [rows, 2 * columns]
  Rows<float> out;      // [rows, columns]
  unsigned columns = 0;
  Activation activation = Activation::none;
};

// out = activation(left half) * right half; one block a row.
__global__ void __launch_bounds__(kThreadsPerRow) gate_rows(GateTask task) {
  const float* x = task.x.row(blockIdx.x);
  float* out = task.out.row(blockIdx.x);
  for (unsigned i = threadIdx.x; i < task.columns; i += kThreadsPerRow)
    out[i] = activate(task.activation, x[i]) * x[task.columns + i];
}

}  // namespace sheaf::kernels::cuda
