#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

struct NormParameters {
  unsigned columns = 0;
  const float* scale = nullptr;  // [columns]; null: no norm
  const float* shift = nullptr;  // [columns]; null: none
  float epsilon = 0;
  bool centered = true;
};

// What a warp makes of one row. read(i, x) gives columns [i, i + kCount), write(i, x) takes them; a
// lane writes what it has read itself. Mean and variance are taken one after the other: their
// difference of sums would lose what is left.
template <unsigned kCount, class Read, class Write>
__device__ void normalize_row(const NormParameters& norm, Read read, Write write) {
  constexpr unsigned kStep = kWarpSize * kCount;
  const unsigned first = lane_of_thread() * kCount;
  const float n = static_cast<float>(norm.columns);
  float x[kCount];
  float mean = 0;
  if (norm.centered) {
    float sum = 0;
    for (unsigned i = first; i < norm.columns; i += kStep) {
      read(i, x);
      SHEAF_UNROLL
      for (unsigned j = 0; j < kCount; ++j) sum += x[j];
    }
    mean = sum_of_warp(sum) / n;
  }
  float squares = 0;
  for (unsigned i = first; i < norm.columns; i += kStep) {
    read(i, x);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) squares += (x[j] - mean) * (x[j] - mean);
  }
  const float inverse = 1 / sqrtf(sum_of_warp(squares) / n + norm.epsilon);
  for (unsigned i = first; i < norm.columns; i += kStep) {
    read(i, x);
    float scale[kCount];
    load<kCount>(norm.scale + i, scale);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) x[j] = (x[j] - mean) * inverse * scale[j];
    if (norm.shift != nullptr) add<kCount>(norm.shift + i, x);
    write(i, x);
  }
}

template <class E>
struct NormTask {
  Rows<const E> x, residual;
  Rows<E> out;  // may be x
  // A row consists of so many parts, each normalized by itself.
  unsigned parts = 1;
  unsigned count = 0;  // rows times parts
  NormParameters norm;
};

template <unsigned kCount, class E>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) normalize_rows(NormTask<E> task) {
  const unsigned i = row_of_warp();
  if (i >= task.count) return;
  const unsigned row = i / task.parts;
  const unsigned first = i % task.parts * task.norm.columns;
  const E* from = task.x.row(row) + first;
  const E* residual = task.residual.data == nullptr ? nullptr : task.residual.row(row) + first;
  E* to = task.out.row(row) + first;
  normalize_row<kCount>(
      task.norm, [&](unsigned at, float(&x)[kCount]) { load<kCount>(from + at, x); },
      [&](unsigned at, float(&x)[kCount]) {
        if (residual != nullptr) add<kCount>(residual + at, x);
        store<kCount>(x, to + at);
      });
}

}  // namespace sheaf::kernels::cuda
