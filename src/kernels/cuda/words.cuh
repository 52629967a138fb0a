#pragma once

#include "kernels/cuda/rows.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

struct WordsTask {
  Rows<const float> logits;               // [rows of the strip, words]
  const std::uint32_t* bounds = nullptr;  // [texts + 1], rows of the whole batch
  std::uint32_t first_row = 0;            // of the strip in the batch
  std::uint32_t rows = 0;
  unsigned words = 0;
  WordWeights how;
  Rows<float> out;  // [texts, words]; what it holds before a text's first strip does not matter
};

// What is no number stays none.
__device__ inline float weight_of_logit(float logit, unsigned logs) {
  float weight = logit <= 0 ? 0 : logit;
  for (unsigned i = 0; i < logs; ++i) weight = log1pf(weight);
  return weight;
}

// A strip's rows into their texts' weights. Blocks: texts by words in groups of kThreadsPerBlock.
__global__ void __launch_bounds__(kThreadsPerBlock) weigh_strip(WordsTask task) {
  const unsigned text = blockIdx.x;
  const unsigned word = blockIdx.y * kThreadsPerBlock + threadIdx.x;
  if (word >= task.words) return;
  const std::uint32_t end = task.first_row + task.rows;
  const std::uint32_t first = larger(task.bounds[text], task.first_row);
  const std::uint32_t last = smaller(task.bounds[text + 1], end);
  if (first >= last) return;
  float* out = task.out.row(text) + word;
  float sum = task.bounds[text] < task.first_row ? *out : 0;  // or the largest
  for (std::uint32_t row = first; row < last; ++row) {
    const float weight =
        weight_of_logit(task.logits.row(row - task.first_row)[word], task.how.logs);
    if (task.how.sum)
      sum += weight;
    else if (weight > sum || weight != weight)
      sum = weight;
  }
  *out = sum;
}

}  // namespace sheaf::kernels::cuda
