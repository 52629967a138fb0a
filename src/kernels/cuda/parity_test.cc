// Parity of the kernels for cards as this processor plays them. For want of threads, a setup's
// number of them says in which order a block's take turns: two orders show where a barrier is
// missing.
#include <gtest/gtest.h>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/dtype_parity.h"
#include "kernels/ops_parity.h"

namespace sheaf::kernels {
namespace {

Setup emulated(Dtype dtype, cuda::emulation::Order order) {
  Setup setup{.threads = order == cuda::emulation::Order::forward ? 1 : 2, .on_device = true};
  for (const DeviceBackend& backend : cuda::emulated_backends({.order = order}))
    if (backend.dtype == dtype) {
      setup.backend = backend.name;
      setup.make = [backend](const BackendOptions& options) {
        return std::move(*backend.make(options));
      };
    }
  setup.rounds_attention = [](const AttentionShape& shape) {
    return std::ranges::count(std::vector<std::size_t>{32, 64, 128, 256}, shape.head_size) > 0;
  };
  return setup;
}

using enum cuda::emulation::Order;
INSTANTIATE_TEST_SUITE_P(, Ops,
                         ::testing::Values(emulated(Dtype::float32, forward),
                                           emulated(Dtype::float32, backward)),
                         name_of_setup);
// The same kernels, but for conversions: one order each will do.
INSTANTIATE_TEST_SUITE_P(, Dtypes,
                         ::testing::Values(emulated(Dtype::bfloat16, forward),
                                           emulated(Dtype::float16, backward)),
                         name_of_setup);

}  // namespace
}  // namespace sheaf::kernels
