#include "kernels/cuda/product_search.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace sheaf::kernels::cuda {
namespace {

TEST(ProductSearch, RowsAreRoundedUpByAQuarterAtMost) {
  for (std::size_t rows = 1; rows <= 20000; ++rows) {
    const std::size_t found_for = rows_of_search(rows);
    ASSERT_GE(found_for, rows);
    ASSERT_EQ(rows_of_search(found_for), found_for) << rows;
    if (rows > 32) {
      ASSERT_LE(4 * (found_for - rows), rows) << rows;
    }
  }
}

TEST(ProductSearch, StepsAreFewForAllBatches) {
  std::size_t steps = 0;
  for (std::size_t rows = 1; rows <= 8192; rows = rows_of_search(rows) + 1) ++steps;
  EXPECT_EQ(steps, 8u + 7 * 4);
}

TEST(ProductSearch, TheProposalStaysUnlessAnotherIsClearlyFaster) {
  constexpr float kFailed = std::numeric_limits<float>::infinity();
  EXPECT_EQ(fastest(std::array{10.0F}), 0u);
  EXPECT_EQ(fastest(std::array{10.0F, 9.9F, 9.8F}), 0u);
  EXPECT_EQ(fastest(std::array{10.0F, 9.6F, 8.0F, 12.0F}), 2u);
  EXPECT_EQ(fastest(std::array{10.0F, kFailed}), 0u);
  EXPECT_EQ(fastest(std::array{kFailed, 20.0F}), 1u);
  EXPECT_EQ(fastest(std::array{kFailed, kFailed}), 0u);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
