#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

template <class E>
struct GateTask {
  Rows<const E> x;  // [rows, 2 * columns]
  Rows<E> out;      // [rows, columns]
  unsigned rows = 0;
  unsigned columns = 0;
  Activation activation = Activation::none;
};

// out = activation(left half) * right half
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) gate_rows(GateTask<E> task) {
  const Place place = place_of_thread<kCount>(task.columns);
  if (place.row >= task.rows) return;
  const E* left = task.x.row(place.row) + place.column;
  float x[kCount], factors[kCount];
  load<kCount>(left, x);
  load<kCount>(left + task.columns, factors);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) x[i] = activate(task.activation, x[i]) * factors[i];
  store<kCount>(x, task.out.row(place.row) + place.column);
}

}  // namespace sheaf::kernels::cuda
