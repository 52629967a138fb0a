#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/quantize.cuh"

// A gate whose results are written as the product behind them takes them, in fp8 or int8: without
// that they would be written as states, read again, and written once more.
namespace sheaf::kernels::cuda {

template <class E, class Q>
struct QuantizedGateTask {
  QuantizeTask<E, Q> rows;  // of x [rows, 2 * columns], whose rows are not chosen
  Activation activation = Activation::none;
};

// In shared memory a warp keeps what its row has, from the first time that it looks at it to the
// second: so many elements, and bytes of a block.
__host__ __device__ constexpr std::size_t kept_columns(std::size_t columns) {
  return (columns + kWide - 1) / kWide * kWide;
}
template <class E>
constexpr std::size_t quantized_gate_bytes(std::size_t columns) {
  return kRowsPerBlock * kept_columns(columns) * sizeof(E);
}

// Codes and scales of activation(left half) * right half, which is rounded to E before, as gate()
// would leave it.
template <unsigned kCount, class E, class Q>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize, 8)
    quantize_gated(QuantizedGateTask<E, Q> task) {
  const QuantizeTask<E, Q>& rows = task.rows;
  const unsigned row = row_of_warp();
  if (row >= rows.rows) return;
  const E* const left = rows.x.row(row);
  E* const kept = shared_memory<E>() + threadIdx.x / kWarpSize * kept_columns(rows.columns);
  const auto first = [&](unsigned column, float(&x)[kCount]) {
    float factors[kCount];
    load<kCount>(left + column, x);
    load<kCount>(left + rows.columns + column, factors);
    SHEAF_UNROLL
    for (unsigned i = 0; i < kCount; ++i) x[i] = activate(task.activation, x[i]) * factors[i];
    store<kCount>(x, kept + column);
    load<kCount>(kept + column, x);
  };
  const auto again = [&](unsigned column, float(&x)[kCount]) { load<kCount>(kept + column, x); };
  quantize_row<kCount>(rows, row, first, again);
}

}  // namespace sheaf::kernels::cuda
