// Parity of the kernels for cards as this processor plays them. For want of threads, a setup's
// number of them says in which order a block's take turns: two orders show where a barrier is
// missing.
#include <gtest/gtest.h>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/dtype_parity.h"
#include "kernels/ops_parity.h"

namespace sheaf::kernels {
namespace {

std::vector<Setup> emulated_setups(bool exact) {
  std::vector<Setup> setups;
  for (const int threads : {1, 2}) {
    const auto order =
        threads == 1 ? cuda::emulation::Order::forward : cuda::emulation::Order::backward;
    for (const DeviceBackend& backend : cuda::emulated_backends({.order = order})) {
      if ((backend.dtype == Dtype::float32) != exact) continue;
      setups.push_back({backend.name, threads, [backend](const BackendOptions& options) {
                          return std::move(*backend.make(options));
                        }});
      setups.back().on_device = true;
      setups.back().rounds_attention = [](const AttentionShape& shape) {
        return std::ranges::count(std::vector<std::size_t>{32, 64, 128, 256}, shape.head_size) > 0;
      };
    }
  }
  return setups;
}

INSTANTIATE_TEST_SUITE_P(, Ops, ::testing::ValuesIn(emulated_setups(true)), name_of_setup);
INSTANTIATE_TEST_SUITE_P(, Dtypes, ::testing::ValuesIn(emulated_setups(false)), name_of_setup);

}  // namespace
}  // namespace sheaf::kernels
