#pragma once

#include "kernels/cuda/rows.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

template <class E>
struct PoolTask {
  Rows<const E> x;
  const std::uint32_t* bounds = nullptr;  // [texts + 1]
  const PoolItem* items = nullptr;        // [texts]
  unsigned columns = 0;                   // of x
  Reduction reduction = Reduction::mean;
  Rows<float> out;  // its first column is the reduction's
};

// The reduction of one column over the rows [first, last) of a text; `place` is of the first row.
template <class E>
__device__ float reduce_column(const PoolTask<E>& task, std::size_t first, std::size_t last,
                               std::uint32_t place, unsigned column) {
  const auto at = [&](std::size_t row) { return to_float(task.x.row(row)[column]); };
  if (task.reduction == Reduction::cls) return at(first);
  if (task.reduction == Reduction::last_token) return at(last - 1);
  const float n = static_cast<float>(last - first);
  float result = task.reduction == Reduction::max ? at(first) : 0;
  float weights = 0;
  for (std::size_t row = first; row < last; ++row) {
    const float weight = static_cast<float>(place + (row - first) + 1);
    if (task.reduction == Reduction::max)
      result = at(row) > result || at(row) != at(row) ? at(row) : result;  // not fmaxf(): no number
    else if (task.reduction == Reduction::weighted_mean)
      result += weight * at(row);
    else
      result += at(row);
    weights += weight;
  }
  if (task.reduction == Reduction::mean) return result / n;
  if (task.reduction == Reduction::mean_sqrt_len) return result / sqrtf(n);
  if (task.reduction == Reduction::weighted_mean) return result / weights;
  return result;
}

// Blocks: texts by columns in groups of kThreadsPerBlock.
template <class E>
__global__ void __launch_bounds__(kThreadsPerBlock) pool_texts(PoolTask<E> task) {
  const unsigned text = blockIdx.x;
  const unsigned column = blockIdx.y * kThreadsPerBlock + threadIdx.x;
  if (column >= task.columns) return;
  task.out.row(text)[column] =
      reduce_column(task, task.bounds[text], task.bounds[text + 1], task.items[text].place, column);
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
