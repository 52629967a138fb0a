#include "core/rate.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

TEST(Rate, StartsAtTheGuessAndForgetsItWithTheFirstBatch) {
  Rate rate(5'000);
  EXPECT_FALSE(rate.learnt());
  EXPECT_DOUBLE_EQ(rate.tokens_per_s(), 5'000);
  rate.learn(1'000, 50'000);
  EXPECT_TRUE(rate.learnt());
  EXPECT_DOUBLE_EQ(rate.tokens_per_s(), 20'000);
  EXPECT_EQ(rate.time_for(1'000), 50'000);
  EXPECT_EQ(rate.tokens_in(100'000), 2'000U);
}

TEST(Rate, IgnoresTimesThatMakeNoSense) {
  Rate rate(5'000);
  rate.learn(1'000, 0);
  rate.learn(1'000, -5);
  rate.learn(0, 50'000);
  EXPECT_FALSE(rate.learnt());
}

TEST(Rate, AShortBatchWeighsAsLittleAsItLasts) {
  Rate rate(5'000);
  for (int i = 0; i < 10; ++i) rate.learn(2'000, 100'000);
  rate.learn(1, 1'000);  // 1,000 tokens/s: all overhead
  EXPECT_NEAR(rate.tokens_per_s(), 20'000, 200);
}

TEST(Rate, FollowsAChangeWithinSeconds) {
  Rate rate(5'000);
  for (int i = 0; i < 100; ++i) rate.learn(2'000, 100'000);
  for (int i = 0; i < 30; ++i) rate.learn(500, 100'000);  // 3 s of a busier machine
  EXPECT_NEAR(rate.tokens_per_s(), 5'000, 1'000);
}

}  // namespace
}  // namespace sheaf::core
