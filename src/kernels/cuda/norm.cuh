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

inline bool is_wide(const NormParameters& norm) {
  return is_wide(norm.columns, vector_of(norm.scale), vector_of(norm.shift));
}

// What a row is shifted and multiplied by to be normalized.
struct Moments {
  float mean = 0;
  float inverse = 1;  // of the deviation
};

// Of a row that kLanes lanes have; read(i, x) gives columns [i, i + kCount). Mean and variance are
// taken one after the other: their difference of sums would lose what is left.
template <unsigned kCount, unsigned kLanes, class Read>
__device__ Moments moments_of(const NormParameters& norm, Read read) {
  const unsigned first = threadIdx.x % kLanes * kCount;
  const float n = static_cast<float>(norm.columns);
  float x[kCount];
  Moments moments;
  if (norm.centered) {
    float sum = 0;
    for (unsigned i = first; i < norm.columns; i += kLanes * kCount) {
      read(i, x);
      SHEAF_UNROLL
      for (unsigned j = 0; j < kCount; ++j) sum += x[j];
    }
    moments.mean = sum_of_lanes<kLanes>(sum) / n;
  }
  float squares = 0;
  for (unsigned i = first; i < norm.columns; i += kLanes * kCount) {
    read(i, x);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) squares += (x[j] - moments.mean) * (x[j] - moments.mean);
  }
  moments.inverse = 1 / sqrtf(sum_of_lanes<kLanes>(squares) / n + norm.epsilon);
  return moments;
}

// Columns [i, i + kCount) of a row, normalized.
template <unsigned kCount>
__device__ void normalize(const NormParameters& norm, const Moments& moments, unsigned i,
                          float (&x)[kCount]) {
  float scale[kCount];
  load<kCount>(norm.scale + i, scale);
  SHEAF_UNROLL
  for (unsigned j = 0; j < kCount; ++j) x[j] = (x[j] - moments.mean) * moments.inverse * scale[j];
  if (norm.shift != nullptr) add<kCount>(norm.shift + i, x);
}

// What a warp makes of one row; write(i, x) takes what read(i, x) gives, normalized. A lane writes
// what it has read itself.
template <unsigned kCount, class Read, class Write>
__device__ void normalize_row(const NormParameters& norm, Read read, Write write) {
  const Moments moments = moments_of<kCount, kWarpSize>(norm, read);
  for (unsigned i = lane_of_thread() * kCount; i < norm.columns; i += kWarpSize * kCount) {
    float x[kCount];
    read(i, x);
    normalize<kCount>(norm, moments, i, x);
    write(i, x);
  }
}

template <class E>
struct NormTask {
  Rows<const E> x, residual;
  Rows<E> out;  // may be x
  unsigned rows = 0;
  NormParameters norm;
};

template <unsigned kCount, class E>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) normalize_rows(NormTask<E> task) {
  const unsigned row = row_of_warp();
  if (row >= task.rows) return;
  const auto read = [&](unsigned i, float(&x)[kCount]) { load<kCount>(task.x.row(row) + i, x); };
  const auto write = [&](unsigned i, float(&x)[kCount]) {
    if (task.residual.data != nullptr) add<kCount>(task.residual.row(row) + i, x);
    store<kCount>(x, task.out.row(row) + i);
  };
  normalize_row<kCount>(task.norm, read, write);
}

}  // namespace sheaf::kernels::cuda
