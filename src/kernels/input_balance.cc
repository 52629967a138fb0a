#include "kernels/input_balance.h"

#include "kernels/cpu/balance.h"

namespace sheaf::kernels {

void balance_inputs(MatrixView weight, const float* input_sizes, float* balance) {
  using AnyProcessor = cpu::TileShape<4, 4, 2>;
  cpu::balance_inputs<AnyProcessor>(
      {weight.data, weight.stride, weight.columns, weight.rows, input_sizes}, balance);
}

}  // namespace sheaf::kernels
