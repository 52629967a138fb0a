#pragma once

#include <vector>

#include "base/result.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// What programs that are linked with CUDA give to add_device_backends(): "cuda float32", "cuda
// bfloat16" and "cuda float16" on the first card that CUDA_VISIBLE_DEVICES leaves. Error of kind
// unsupported, one sentence, if there is no driver, an old one, no card, or one that this build has
// no code for.
Result<std::vector<DeviceBackend>> card_backends();

}  // namespace sheaf::kernels::cuda
