#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

template <class E>
struct RotaryTask {
  Rows<E> x;                              // [rows, heads * head_size]
  const std::uint32_t* places = nullptr;  // [rows]: of each in its text
  unsigned rows = 0;
  unsigned heads = 0;
  unsigned head_size = 0;
  const float* cosines = nullptr;  // [positions, pairs]
  const float* sines = nullptr;    // [positions, pairs]
  unsigned pairs = 0;
};

// Turns value i and value i + pairs of each head by their angle; a thread kCount pairs.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) rotate_rows(RotaryTask<E> task) {
  const Place place = place_of_thread<kCount>(task.heads * task.pairs);
  if (place.row >= task.rows) return;
  const unsigned pair = place.column % task.pairs;
  const std::size_t angle = std::size_t{task.places[place.row]} * task.pairs + pair;
  E* left = task.x.row(place.row) + place.column / task.pairs * task.head_size + pair;
  E* right = left + task.pairs;
  float a[kCount], b[kCount], cosines[kCount], sines[kCount];
  load<kCount>(left, a);
  load<kCount>(right, b);
  load<kCount>(task.cosines + angle, cosines);
  load<kCount>(task.sines + angle, sines);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) {
    const float turned = a[i] * cosines[i] - b[i] * sines[i];
    b[i] = b[i] * cosines[i] + a[i] * sines[i];
    a[i] = turned;
  }
  store<kCount>(a, left);
  store<kCount>(b, right);
}

}  // namespace sheaf::kernels::cuda
