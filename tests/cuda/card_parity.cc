// Parity of the operations on the card of this machine: `make cuda` builds it, a card runs it.
// Where there is none it says so and fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/card_setup.h"
#include "kernels/cuda/cuda.h"
#include "kernels/dtype_parity.h"
#include "kernels/ops_parity.h"
#include "kernels/ranks/communicator.h"
#include "kernels/ranks/sums.h"

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

// One that waits for no other.
class OnlyRank final : public Communicator {
 public:
  std::size_t rank() const override { return 0; }
  std::size_t ranks() const override { return 1; }
  Status meet() override { return {}; }
  Status sum(tensor::MatrixSpan) override { return {}; }
  Status share(std::vector<std::byte>&) override { return {}; }
};

// On one card NCCL takes one rank alone, whose sum is its part: what shows is that the library
// starts, takes sums in turn with what the stream carries out before and after them, and ends.
TEST(Card, AddsUpByNccl) {
  if (const auto library = cuda::what_adds_up(); !library.ok())
    GTEST_SKIP() << library.error().message;
  const auto backend = cuda::card_backends().front().make({});
  ASSERT_TRUE(backend.ok()) << backend.error().message;
  OnlyRank group;
  const auto sums = (*backend)->join(group);
  ASSERT_TRUE(sums.ok()) << sums.error().message;

  constexpr std::size_t kRows = 300, kColumns = 384;
  std::vector<float> values(kRows * kColumns);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 977);
  tensor::Buffer part, twice;
  const MatrixView x = {part.hold(std::span<const float>(values), (*backend)->memory()), kRows,
                        kColumns, kColumns};
  const MatrixSpan sum = twice.matrix(kRows, kColumns, (*backend)->memory());
  for (int i = 0; i < 50; ++i) {
    (*backend)->add_residual(x, x, sum);
    const Status taken = (*sums)->add_up(sum);
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    (*backend)->add_residual(sum, {}, sum);
  }
  std::vector<float> got(values.size());
  (*backend)->memory().read(sum.data, got.size() * sizeof(float), got.data());
  ASSERT_TRUE((*backend)->status().ok()) << (*backend)->status().error().message;
  ASSERT_TRUE((*sums)->status().ok()) << (*sums)->status().error().message;
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i], 2 * values[i]) << i;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Ops);
INSTANTIATE_TEST_SUITE_P(, Ops, ::testing::ValuesIn(card_setups({Dtype::float32, Dtype::bfloat16})),
                         name_of_setup);
INSTANTIATE_TEST_SUITE_P(, Dtypes,
                         ::testing::ValuesIn(card_setups({Dtype::bfloat16, Dtype::float16,
                                                          Dtype::fp8, Dtype::int8})),
                         name_of_setup);

}  // namespace
}  // namespace sheaf::kernels
