#pragma once

#include "kernels/cuda/rows.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// Of a block, which share a text's rows.
constexpr unsigned kPoolWarps = 8;

template <class E>
struct PoolTask {
  Rows<const E> x;
  const std::uint32_t* bounds = nullptr;  // [texts + 1]
  const PoolItem* items = nullptr;        // [texts]
  unsigned columns = 0;                   // of x
  Reduction reduction = Reduction::mean;
  Rows<float> out;  // its first column is the reduction's

  // Whether rows are compared, else added up.
  __device__ bool compares() const { return reduction == Reduction::max; }
  __device__ float begin() const { return compares() ? -INFINITY : 0; }
  __device__ float join(float a, float b) const {
    if (compares()) return b > a || b != b ? b : a;  // not fmaxf(), which loses what is no number
    return a + b;
  }
};

// The rows of a text [first, last) that count, by how much each, and what their sum is divided by.
struct PooledRows {
  std::size_t first = 0, last = 0;
  std::uint32_t place = 0;  // of the first
  Reduction reduction = Reduction::mean;

  template <class E>
  __device__ PooledRows(const PoolTask<E>& task, unsigned text)
      : first(task.bounds[text]),
        last(task.bounds[text + 1]),
        place(task.items[text].place),
        reduction(task.reduction) {
    if (reduction == Reduction::cls) last = first + 1;
    if (reduction == Reduction::last_token) first = last - 1;
  }
  __device__ float weight(std::size_t row) const {
    if (reduction != Reduction::weighted_mean) return 1;
    return static_cast<float>(place + (row - first) + 1);
  }
  __device__ float divisor() const {
    const float n = static_cast<float>(last - first);
    if (reduction == Reduction::mean) return n;
    if (reduction == Reduction::mean_sqrt_len) return sqrtf(n);
    if (reduction == Reduction::weighted_mean) return n * (weight(first) + weight(last - 1)) / 2;
    return 1;
  }
};

// Blocks: texts by columns in groups of kWarpSize * kCount. Each warp has every kPoolWarps-th row;
// shared memory [kPoolWarps, kWarpSize * kCount] is for what they found.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kPoolWarps* kWarpSize) pool_texts(PoolTask<E> task) {
  constexpr unsigned kColumns = kWarpSize * kCount;
  const PooledRows rows(task, blockIdx.x);
  const unsigned warp = threadIdx.x / kWarpSize;
  const unsigned place = lane_of_thread() * kCount;  // in the group
  const unsigned column = blockIdx.y * kColumns + place;
  float* const found = shared_memory<float>();
  float result[kCount], x[kCount];
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) result[i] = task.begin();
  if (column < task.columns) {
    for (std::size_t row = rows.first + warp; row < rows.last; row += kPoolWarps) {
      load<kCount>(task.x.row(row) + column, x);
      SHEAF_UNROLL
      for (unsigned i = 0; i < kCount; ++i)
        result[i] = task.join(result[i], rows.weight(row) * x[i]);
    }
  }
  store<kCount>(result, found + warp * kColumns + place);
  __syncthreads();
  if (warp > 0 || column >= task.columns) return;
  for (unsigned other = 1; other < kPoolWarps; ++other) {
    load<kCount>(found + other * kColumns + place, x);
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i) result[i] = task.join(result[i], x[i]);
  }
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) result[i] /= rows.divisor();
  store<kCount>(result, task.out.row(blockIdx.x) + column);
}

struct UnitLengthTask {
  Rows<float> x;
  const PoolItem* items = nullptr;  // [texts]
  unsigned texts = 0;
};

// Those texts that ask for it: cut and brought to length 1, in place; one warp a text.
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) to_unit_length(UnitLengthTask task) {
  const std::size_t text = row_of_warp();
  if (text >= task.texts || !task.items[text].normalize) return;
  const unsigned columns = task.items[text].dimensions;
  float* x = task.x.row(text);
  float squares = 0;
  for (unsigned i = lane_of_thread(); i < columns; i += kWarpSize) squares += x[i] * x[i];
  const float length = fmaxf(sqrtf(sum_of_warp(squares)), 1e-12f);
  for (unsigned i = lane_of_thread(); i < columns; i += kWarpSize) x[i] /= length;
}

}  // namespace sheaf::kernels::cuda
