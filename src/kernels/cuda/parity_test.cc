// Parity of the kernels for cards as this processor plays them. For want of threads, a setup's
// number of them says in which order a block's take turns: two orders show where a barrier is
// missing.
#include <gtest/gtest.h>

#include "kernels/cuda/card_setup.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/dtype_parity.h"
#include "kernels/ops_parity.h"

namespace sheaf::kernels {
namespace {

Setup emulated(Dtype dtype, cuda::emulation::Order order, int capability = 90) {
  const int number = order == cuda::emulation::Order::forward ? 1 : 2;
  for (const DeviceBackend& backend : cuda::emulated_backends(
           {.order = order, .own_memory_only = true, .compute_capability = capability})) {
    if (backend.dtype != dtype) continue;
    Setup setup = cuda::parity_setup(backend, number);
    setup.rounds_fp8_sums = capability != 90;
    return setup;
  }
  return {};
}

using enum cuda::emulation::Order;
INSTANTIATE_TEST_SUITE_P(, Ops,
                         ::testing::Values(emulated(Dtype::float32, forward),
                                           emulated(Dtype::float32, backward),
                                           emulated(Dtype::bfloat16, backward)),
                         name_of_setup);
// bfloat16 has kernels of its own. The others are the same, but for conversions: one order each
// will do. Of fp8 there are two ways, one by a library that scales and one by a library that does
// not.
INSTANTIATE_TEST_SUITE_P(
    , Dtypes,
    ::testing::Values(emulated(Dtype::bfloat16, forward), emulated(Dtype::bfloat16, backward),
                      emulated(Dtype::float16, backward), emulated(Dtype::fp8, forward),
                      emulated(Dtype::fp8, backward, 89), emulated(Dtype::int8, forward, 80),
                      emulated(Dtype::int8, backward, 86)),
    name_of_setup);

}  // namespace
}  // namespace sheaf::kernels
