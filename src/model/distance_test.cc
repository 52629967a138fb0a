#include "model/distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace sheaf::model {
namespace {

// What transformers' make_log_bucket_position gives for DeBERTa v3's 256 buckets of 512 distances.
TEST(DistanceRows, EqualTransformers) {
  constexpr int kReach = 5000;
  const auto rows = distance_rows({.reach = 512, .buckets = 256}, kReach);
  const std::map<int, int> want = {{-5000, 0},  {-511, 1},   {-510, 1},   {-300, 49},
                                   {-130, 126}, {-129, 127}, {-128, 128}, {0, 256},
                                   {127, 383},  {128, 384},  {129, 385},  {200, 425},
                                   {400, 489},  {508, 511},  {511, 511},  {600, 511}};
  for (const auto& [distance, row] : want)
    EXPECT_EQ(rows[static_cast<std::size_t>(kReach + distance)], row) << distance;
}

TEST(DistanceRows, NeverFallAndStayInTheTable) {
  for (const std::uint32_t buckets : {0u, 2u, 9u, 16u, 100u}) {
    const RelativeSpec relative = {.reach = 60, .buckets = buckets};
    const auto rows = distance_rows(relative, 300);
    EXPECT_EQ(rows.size(), 601u);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    EXPECT_GE(rows.front(), 0);
    EXPECT_LT(rows.back(), static_cast<int>(relative.rows()));
    EXPECT_EQ(rows[300], static_cast<int>(relative.rows() / 2));
  }
}

TEST(DistanceBucket, EndsAreShared) {
  EXPECT_EQ(distance_bucket(0), 0u);
  EXPECT_EQ(distance_bucket(-7), 7u);
  EXPECT_EQ(distance_bucket(7), 23u);
  EXPECT_EQ(distance_bucket(-8), 8u);
  EXPECT_EQ(distance_bucket(-1000), 15u);
  EXPECT_EQ(distance_bucket(1000), 31u);
}

}  // namespace
}  // namespace sheaf::model
