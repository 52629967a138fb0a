#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/rows.cuh"

// What stands before and behind a library's product: operands in its dtype, and what becomes of its
// sums.
namespace sheaf::kernels::cuda {

template <class T>
struct OperandTask {
  Rows<const float> x;
  // Row i is made of x's row chosen[i]; null: of row i.
  const std::uint32_t* chosen = nullptr;
  Activation activation = Activation::none;
  unsigned columns = 0;
  Rows<T> out;  // columns up to the stride are set to 0
};

// out = activation(x) as a product takes it; one block a row.
template <class T>
__global__ void __launch_bounds__(kThreadsPerRow) make_operand(OperandTask<T> task) {
  const unsigned row = blockIdx.x;
  const float* x = task.x.row(task.chosen == nullptr ? row : task.chosen[row]);
  T* out = task.out.row(row);
  for (unsigned i = threadIdx.x; i < task.out.stride; i += kThreadsPerRow)
    out[i] = from_float<T>(i < task.columns ? activate(task.activation, x[i]) : 0);
}

struct FinishTask {
  Rows<float> x;  // in place
  Rows<const float> residual;
  Activation activation = Activation::none;
  unsigned columns = 0;
};

// x = activation(x) + residual; one block a row.
__global__ void __launch_bounds__(kThreadsPerRow) finish_rows(FinishTask task) {
  float* x = task.x.row(blockIdx.x);
  for (unsigned i = threadIdx.x; i < task.columns; i += kThreadsPerRow) {
    float value = activate(task.activation, x[i]);
    if (task.residual.data != nullptr) value += task.residual.row(blockIdx.x)[i];
    x[i] = value;
  }
}

}  // namespace sheaf::kernels::cuda
