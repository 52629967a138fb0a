#pragma once

#include "kernels/cuda/norm.cuh"

namespace sheaf::kernels::cuda {

// A head of a row is so many lanes'.
constexpr unsigned kLanesPerHead = 4;
constexpr unsigned kHeadsPerBlock = kThreadsPerBlock / kLanesPerHead;

template <class E>
struct HeadsTask {
  Rows<E> x;                              // [rows, heads * head_size]
  const std::uint32_t* places = nullptr;  // [rows]: of each in its text
  unsigned count = 0;                     // rows times heads
  unsigned heads = 0;
  unsigned head_size = 0;
  // Of the first `queries` heads, and of the others; centered alike, or both without scale.
  NormParameters query_norm, key_norm;
  unsigned queries = 0;
  const float* cosines = nullptr;  // [positions, pairs]
  const float* sines = nullptr;    // [positions, pairs]
  unsigned pairs = 0;
};

// Value i and value i + pairs of a head, kCount of each, turned by their angles.
template <unsigned kCount>
__device__ void turn(const float* cosines, const float* sines, float (&left)[kCount],
                     float (&right)[kCount]) {
  float cosine[kCount], sine[kCount];
  load<kCount>(cosines, cosine);
  load<kCount>(sines, sine);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) {
    const float turned = left[i] * cosine[i] - right[i] * sine[i];
    right[i] = right[i] * cosine[i] + left[i] * sine[i];
    left[i] = turned;
  }
}

// Each head normalized, if it has a norm, and turned, in place. Lanes that have no head do as if
// they had the last one, since all of a warp add up together, and write nothing.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) turn_each_head(HeadsTask<E> task) {
  const unsigned number = blockIdx.x * kHeadsPerBlock + threadIdx.x / kLanesPerHead;
  const unsigned at = smaller(number, task.count - 1);
  const unsigned row = at / task.heads;
  const unsigned head = at % task.heads;
  E* const values = task.x.row(row) + head * task.head_size;
  const NormParameters& norm = head < task.queries ? task.query_norm : task.key_norm;
  const auto read = [&](unsigned i, float(&x)[kCount]) { load<kCount>(values + i, x); };
  Moments moments;
  if (norm.scale != nullptr) moments = moments_of<kCount, kLanesPerHead>(norm, read);
  const auto read_normalized = [&](unsigned i, float(&x)[kCount]) {
    read(i, x);
    if (norm.scale != nullptr) normalize<kCount>(norm, moments, i, x);
  };
  if (number >= task.count) return;

  constexpr unsigned kStep = kLanesPerHead * kCount;
  const unsigned first = threadIdx.x % kLanesPerHead * kCount;
  const std::size_t angles = std::size_t{task.places[row]} * task.pairs;
  for (unsigned i = first; i < task.pairs; i += kStep) {
    float left[kCount], right[kCount];
    read_normalized(i, left);
    read_normalized(i + task.pairs, right);
    turn<kCount>(task.cosines + angles + i, task.sines + angles + i, left, right);
    store<kCount>(left, values + i);
    store<kCount>(right, values + i + task.pairs);
  }
  if (norm.scale == nullptr) return;
  for (unsigned i = 2 * task.pairs + first; i < task.head_size; i += kStep) {
    float x[kCount];
    read_normalized(i, x);
    store<kCount>(x, values + i);
  }
}

}  // namespace sheaf::kernels::cuda
