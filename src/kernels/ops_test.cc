// Parity of every backend that runs here of float32, or whose states and products are both
// bfloat16. The code for wider vectors than this processor has is tested as well: "wide" is the
// AVX-512 tile, split up by the compiler.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/table.h"
#include "kernels/expert_routes.h"
#include "kernels/ops_parity.h"

namespace sheaf::kernels {
namespace {

struct Wide : cpu::TileShape<16, 12, 2> {};
constexpr cpu::Kernels kWide = cpu::make_kernels<Wide>("wide", 96);

std::vector<Setup> exact_setups() {
  std::vector<Setup> setups = {
      {"wide", 1, [](const BackendOptions& options) {
         return make_cpu_backend({"wide", &kWide, &kWide.float32}, options);
       }}};
  for (const std::string& name : backend_names()) {
    setups.push_back(setup_by_name(name, 1));
    if (name != "reference") setups.push_back(setup_by_name(name, 3));
  }
  for (const std::string& name : backend_names(Dtype::bfloat16))
    if (const Setup setup = setup_by_name(name, 3); setup.states == Dtype::bfloat16)
      setups.push_back(setup);
  return setups;
}

INSTANTIATE_TEST_SUITE_P(, Ops, ::testing::ValuesIn(exact_setups()), name_of_setup);

// Two of four by their shares, in the order of the experts; of equal ones the first.
TEST(ExpertShares, AreTheLargestAndNotRescaled) {
  const float logits[] = {std::log(1.0f), std::log(3.0f), std::log(2.0f), std::log(2.0f)};
  ExpertShare shares[2];
  largest_shares(logits, shares);
  EXPECT_EQ(shares[0].expert, 1u);
  EXPECT_FLOAT_EQ(shares[0].share, 3.0f / 8);
  EXPECT_EQ(shares[1].expert, 2u);
  EXPECT_FLOAT_EQ(shares[1].share, 2.0f / 8);
}

TEST(ExpertRoutes, AreSortedByExpertAndCutIntoBlocks) {
  ExpertRoutes routes;
  routes.resize(3, 2);
  const ExpertShare chosen[3][2] = {
      {{1, 0.5f}, {3, 0.25f}}, {{0, 0.75f}, {3, 0.125f}}, {{1, 1}, {3, 2}}};
  for (std::size_t row = 0; row < 3; ++row)
    std::ranges::copy(chosen[row], routes.of_row(row).begin());
  routes.sort(4);
  EXPECT_EQ(std::vector(routes.rows().begin(), routes.rows().end()),
            (std::vector<std::uint32_t>{1, 0, 2, 0, 1, 2}));
  EXPECT_EQ(std::vector(routes.row_shares().begin(), routes.row_shares().end()),
            (std::vector<float>{0.75f, 0.5f, 1, 0.25f, 0.125f, 2}));
  EXPECT_EQ(std::vector(routes.places().begin(), routes.places().end()),
            (std::vector<std::uint32_t>{1, 3, 0, 4, 2, 5}));
  EXPECT_EQ(std::vector(routes.shares().begin(), routes.shares().end()),
            (std::vector<float>{0.5f, 0.25f, 0.75f, 0.125f, 1, 2}));
  std::vector<std::array<std::size_t, 3>> blocks;
  routes.for_each_expert(2, [&](std::size_t expert, std::size_t first, std::size_t count) {
    blocks.push_back({expert, first, count});
  });
  EXPECT_EQ(blocks,
            (std::vector<std::array<std::size_t, 3>>{{0, 0, 1}, {1, 1, 2}, {3, 3, 2}, {3, 5, 1}}));
}

TEST(Backends, UnknownNameIsRefusedWithTheKnownOnes) {
  const auto made = make_backend("cpu abacus", {});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::unsupported);
  EXPECT_NE(made.error().message.find("cpu abacus"), std::string::npos);
  EXPECT_NE(made.error().message.find("reference"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::kernels
