#include "server/body_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sheaf::server {
namespace {

TEST(BodyBudgetTest, SharesTogetherStayWithinIt) {
  BodyBudget budget(100);
  BodyBudget::Share one(budget);
  EXPECT_TRUE(one.hold(60));
  {
    BodyBudget::Share other(budget);
    EXPECT_FALSE(other.hold(41));
    EXPECT_TRUE(other.hold(40));
    EXPECT_FALSE(one.hold(61));
    EXPECT_EQ(budget.bytes_held(), 100u);
  }
  EXPECT_TRUE(one.hold(100)) << "the other's are back";
  EXPECT_TRUE(one.hold(1));
  EXPECT_EQ(budget.bytes_held(), 1u);
}

TEST(BodyBudgetTest, AMovedShareIsGivenBackOnce) {
  BodyBudget budget(100);
  BodyBudget::Share one(budget);
  EXPECT_TRUE(one.hold(30));
  BodyBudget::Share other = std::move(one);
  EXPECT_EQ(budget.bytes_held(), 30u);
  other = BodyBudget::Share(budget);
  EXPECT_EQ(budget.bytes_held(), 0u);
}

TEST(BodyBudgetTest, NoSizeOverflowsIt) {
  BodyBudget budget(100);
  BodyBudget::Share share(budget);
  EXPECT_FALSE(share.hold(SIZE_MAX));
  EXPECT_EQ(budget.bytes_held(), 0u);
}

TEST(BodyBudgetTest, ThreadsLeaveNothingBehind) {
  BodyBudget budget(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&budget] {
      for (std::size_t i = 0; i < 2000; ++i) {
        BodyBudget::Share share(budget);
        if (share.hold(300 + i % 7)) share.hold(400);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.bytes_held(), 0u);
}

}  // namespace
}  // namespace sheaf::server
