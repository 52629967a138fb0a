// Parity of the operations on the card of this machine: `make cuda` builds it, a card runs it.
// Where there is none it says so and fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/card_setup.h"
#include "kernels/cuda/cuda.h"
#include "kernels/dtype_parity.h"
#include "kernels/ops_parity.h"

namespace sheaf::kernels {
namespace {

std::vector<Setup> card_setups(const std::vector<Dtype>& dtypes) {
  std::vector<Setup> setups;
  if (!cuda::card_backends().front().make({}).ok()) return setups;
  for (const DeviceBackend& backend : cuda::card_backends())
    if (std::ranges::count(dtypes, backend.dtype) > 0 && backend.make({}).ok())
      setups.push_back(cuda::parity_setup(backend, 1));
  return setups;
}

TEST(Card, CanBeUsed) {
  const auto backend = cuda::card_backends().front().make({});
  EXPECT_TRUE(backend.ok()) << backend.error().message;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Ops);
INSTANTIATE_TEST_SUITE_P(, Ops, ::testing::ValuesIn(card_setups({Dtype::float32, Dtype::bfloat16})),
                         name_of_setup);
INSTANTIATE_TEST_SUITE_P(
    , Dtypes, ::testing::ValuesIn(card_setups({Dtype::bfloat16, Dtype::float16, Dtype::fp8})),
    name_of_setup);

}  // namespace
}  // namespace sheaf::kernels
