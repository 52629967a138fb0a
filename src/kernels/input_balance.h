#pragma once

#include "kernels/ops.h"

namespace sheaf::kernels {

// By what a product's inputs are multiplied before they are rounded to int8, a scale for each 128
// of them, and their weights divided: balance [inputs, rounded up to 128]. How, and why:
// cpu/balance.h, from which processors' own products have it too. weight as
// Backend::pack_linear() has it, input_sizes as Known has them.
void balance_inputs(MatrixView weight, const float* input_sizes, float* balance);

}  // namespace sheaf::kernels
