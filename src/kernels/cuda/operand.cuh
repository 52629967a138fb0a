#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/rows.cuh"

// What stands before and behind a library's product: operands in its dtype, and what becomes of its
// sums.
namespace sheaf::kernels::cuda {

template <class E, class T>
struct OperandTask {
  Rows<const E> x;
  // Row i is made of x's row chosen[i]; null: of row i.
  const std::uint32_t* chosen = nullptr;
  Activation activation = Activation::none;
  const float* scale = nullptr;  // by which numbers are divided; null: 1
  unsigned rows = 0;
  unsigned columns = 0;  // of x
  unsigned width = 0;    // of out, whose columns behind those of x are 0
  Rows<T> out;           // may be x, where nothing is chosen
};

// out = activation(x) / scale as a product takes it; infinity is no number behind a scale, since
// fp8 has none. Several at once only where x is as wide.
template <unsigned kCount, class E, class T>
__global__ void __launch_bounds__(kThreadsPerBlock) make_operand(OperandTask<E, T> task) {
  const Place place = place_of_thread<kCount>(task.width);
  if (place.row >= task.rows) return;
  const unsigned row = task.chosen == nullptr ? place.row : task.chosen[place.row];
  float x[kCount] = {};
  if (place.column < task.columns) load<kCount>(task.x.row(row) + place.column, x);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) x[i] = activate(task.activation, x[i]);
  if (task.scale != nullptr) {
    const float inverse = 1 / *task.scale;
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i) x[i] = fmaf(x[i], inverse, 0 * x[i]);
  }
  store<kCount>(x, task.out.row(place.row) + place.column);
}

template <class X, class E>
struct FinishTask {
  Rows<const X> x;
  Rows<E> out;  // may be x
  Rows<const E> residual;
  Activation activation = Activation::none;
  unsigned rows = 0;
  unsigned columns = 0;
  // Of a product in fp8 that is not scaled yet, to which no bias was added; else null.
  const float* row_scales = nullptr;     // [rows]
  const float* column_scales = nullptr;  // [columns]
  bool one_scale = false;                // for all rows, and one for all columns
  const E* bias = nullptr;               // [columns]; null: none
};

// out = activation(x, scaled, + bias) + residual
template <unsigned kCount, class X, class E>
__global__ void __launch_bounds__(kThreadsPerBlock) finish_rows(FinishTask<X, E> task) {
  const Place place = place_of_thread<kCount>(task.columns);
  if (place.row >= task.rows) return;
  float x[kCount];
  load<kCount>(task.x.row(place.row) + place.column, x);
  if (task.row_scales != nullptr) {
    const float of_row = task.row_scales[task.one_scale ? 0 : place.row];
    float scales[kCount];
    if (!task.one_scale) load<kCount>(task.column_scales + place.column, scales);
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i)
      x[i] *= of_row * (task.one_scale ? *task.column_scales : scales[i]);
    if (task.bias != nullptr) add<kCount>(task.bias + place.column, x);
  }
  SHEAF_UNROLL
  for (unsigned i = 0; i < kCount; ++i) x[i] = activate(task.activation, x[i]);
  if (task.residual.data != nullptr) add<kCount>(task.residual.row(place.row) + place.column, x);
  store<kCount>(x, task.out.row(place.row) + place.column);
}

}  // namespace sheaf::kernels::cuda
