#include "model/distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

#include "model/spec/limits.h"

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

// As kernels want them (ops.h, RelativePositions), up to the largest numbers that can_share()
// allows.
TEST(DistanceRows, NeverFallNorSkipARowAndStayInTheTable) {
  for (const auto& [reach, buckets] : {std::pair(60u, 0u),
                                       {60u, 2u},
                                       {60u, 9u},
                                       {60u, 16u},
                                       {60u, 39u},
                                       {512u, 256u},
                                       {kMaxPositions, 2 * (kMaxPositions / 3)}}) {
    const RelativeSpec relative = {.reach = reach, .buckets = buckets};
    EXPECT_TRUE(buckets == 0 || can_share(relative)) << buckets;
    const auto most = static_cast<int>(reach) + 100;
    const auto rows = distance_rows(relative, most);
    ASSERT_EQ(rows.size(), 2 * static_cast<std::size_t>(most) + 1);
    for (std::size_t i = 1; i < rows.size(); ++i) {
      ASSERT_GE(rows[i], rows[i - 1]) << buckets;
      ASSERT_LE(rows[i], rows[i - 1] + 1) << buckets;
    }
    EXPECT_GE(rows.front(), 0);
    EXPECT_LT(rows.back(), static_cast<int>(relative.rows()));
    EXPECT_EQ(rows[static_cast<std::size_t>(most)], static_cast<int>(relative.rows() / 2));
  }
}

TEST(DistanceRows, BucketsThatWouldSkipARowAreRefused) {
  EXPECT_FALSE(can_share({.reach = 60, .buckets = 40}));
  EXPECT_FALSE(can_share({.reach = 256, .buckets = 256}));
  EXPECT_FALSE(can_share({.reach = 60, .buckets = 1}));
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
