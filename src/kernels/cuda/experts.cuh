#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

template <class E>
struct MixTask {
  Rows<const float> parts;                // [rows * chosen, columns]: what experts made of rows
  const std::uint32_t* places = nullptr;  // [rows, chosen]: where a row's parts are
  const float* shares = nullptr;          // [rows, chosen]
  unsigned chosen = 0;
  const float* bias = nullptr;  // null: none
  Rows<const E> residual;
  Rows<E> out;
  unsigned rows = 0;
  unsigned columns = 0;
};

// out = bias + residual + the row's parts by their shares
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) mix_parts(MixTask<E> task) {
  const Place place = place_of_thread<kCount>(task.columns);
  if (place.row >= task.rows) return;
  float sum[kCount] = {};
  if (task.bias != nullptr) add<kCount>(task.bias + place.column, sum);
  if (task.residual.data != nullptr) add<kCount>(task.residual.row(place.row) + place.column, sum);
  for (unsigned k = 0; k < task.chosen; ++k) {
    const std::size_t at = std::size_t{place.row} * task.chosen + k;
    float part[kCount];
    load<kCount>(task.parts.row(task.places[at]) + place.column, part);
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i) sum[i] += task.shares[at] * part[i];
  }
  store<kCount>(sum, task.out.row(place.row) + place.column);
}

}  // namespace sheaf::kernels::cuda
