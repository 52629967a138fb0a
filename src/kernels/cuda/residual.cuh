#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

template <class E>
struct ResidualTask {
  Rows<const float> x;
  Rows<const E> residual;  // without data: none
  Rows<E> out;             // may be x
  unsigned rows = 0;
  unsigned columns = 0;
};

// out = x + residual
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) add_residual_to_rows(ResidualTask<E> task) {
  const Place place = place_of_thread<kCount>(task.columns);
  if (place.row >= task.rows) return;
  float sum[kCount];
  load<kCount>(task.x.row(place.row) + place.column, sum);
  if (task.residual.data != nullptr) add<kCount>(task.residual.row(place.row) + place.column, sum);
  store<kCount>(sum, task.out.row(place.row) + place.column);
}

}  // namespace sheaf::kernels::cuda
