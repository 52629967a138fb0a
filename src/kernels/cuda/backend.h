#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// What products can be computed in on cards.
inline constexpr Dtype kCardDtypes[] = {Dtype::float32, Dtype::bfloat16, Dtype::float16};

// The operations of ops.h on `device`, products with weights in `dtype` (float32, bfloat16 or
// float16) with float32 sums. Attention over heads of 32, 64, 128 and 256 is in `dtype` too, unless
// it looks at tables of positions; all other arithmetic is float32. States are bfloat16 where
// `dtype` is, else float32: float16 ends at 65504, which sums along the residuals of trained models
// pass. States of another dtype, and heads of more than 512, fail the backend.
std::unique_ptr<Backend> make_backend_on(std::unique_ptr<Device> device, std::string name,
                                         Dtype dtype, const BackendOptions& options);

}  // namespace sheaf::kernels::cuda
