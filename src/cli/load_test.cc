#include "cli/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <utility>

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;

// Answers each request after `service_us`, one after the other over all lanes, as a server of one
// replica does; every `fail_every`-th is an error.
class FakeTarget final : public LoadTarget {
 public:
  FakeTarget(TimeUs service_us, std::uint64_t fail_every = 0)
      : service_us_(service_us), fail_every_(fail_every) {}

  void prepare(const std::vector<std::vector<std::string>>&) override {}
  std::size_t prepared() const override { return 3; }
  std::unique_ptr<LoadLane> open_lane(asio::any_io_executor executor) override {
    return std::make_unique<Lane>(*this, executor);
  }
  std::uint64_t sent = 0;
  std::size_t largest_request = 0;

 private:
  class Lane final : public LoadLane {
   public:
    Lane(FakeTarget& target, asio::any_io_executor executor) : target_(target), timer_(executor) {}
    asio::awaitable<Result<LoadAnswer>> send(std::size_t request) override {
      target_.largest_request = std::max(target_.largest_request, request);
      const std::uint64_t number = ++target_.sent;
      target_.free_at_us_ = std::max(target_.free_at_us_, monotonic_us()) + target_.service_us_;
      timer_.expires_after(std::chrono::microseconds(target_.free_at_us_ - monotonic_us()));
      co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (target_.fail_every_ > 0 && number % target_.fail_every_ == 0)
        co_return Error{ErrorCode::io, "broken"};
      co_return LoadAnswer{10, target_.service_us_};
    }

   private:
    FakeTarget& target_;
    asio::steady_timer timer_;
  };
  TimeUs service_us_;
  std::uint64_t fail_every_;
  TimeUs free_at_us_ = 0;
};

const LoadProgress kSilent = [](std::uint64_t) {};

TEST(Load, ASignalEndsItWithWhatThereIs) {
  for (const LoadPlan& plan : {LoadPlan{.lanes = 4, .warmup_us = 0, .duration_us = 600'000'000},
                               LoadPlan{.lanes = 4, .warmup_us = 0, .requests = 1'000'000'000},
                               LoadPlan{.lanes = 4, .rate = 500, .warmup_us = 0}}) {
    FakeTarget target(200);
    LoadPlan stopped = plan;
    stopped.ends_at_signal = true;
    const LoadResult result = run_load(target, stopped, [raised = false](std::uint64_t) mutable {
      if (!std::exchange(raised, true)) std::raise(SIGINT);
    });
    EXPECT_TRUE(result.ended_by_signal);
    EXPECT_GT(result.answered, 10u);
    EXPECT_EQ(result.errors, 0u);
    EXPECT_LT(result.seconds, 60);
  }
}

TEST(Load, ACountOfRequestsIsExact) {
  FakeTarget target(200);
  const LoadResult result =
      run_load(target, {.lanes = 4, .warmup_us = 0, .requests = 100}, kSilent);
  EXPECT_EQ(target.sent, 100u);
  EXPECT_EQ(target.largest_request, 2u);
  EXPECT_EQ(result.answered, 100u);
  EXPECT_EQ(result.latencies_us.size(), 100u);
  EXPECT_EQ(result.tokens, 1000u);
  EXPECT_EQ(result.errors, 0u);
  EXPECT_GE(result.seconds, 100 * 200e-6);
  EXPECT_TRUE(std::is_sorted(result.latencies_us.begin(), result.latencies_us.end()));
}

TEST(Load, WarmupIsNotCounted) {
  FakeTarget target(1'000);
  const LoadResult result =
      run_load(target, {.lanes = 1, .warmup_us = 50'000, .duration_us = 100'000}, kSilent);
  EXPECT_LT(result.latencies_us.size(), target.sent);
  EXPECT_DOUBLE_EQ(result.seconds, 0.1);
  EXPECT_LE(result.answered, 101u);
}

// 64 requests of the warm-up are under way when it ends, worth 0.32 s of the server's time.
TEST(Load, WarmupDoesNotStandBeforeACountOfRequests) {
  FakeTarget target(5'000);
  const LoadResult result =
      run_load(target, {.lanes = 64, .warmup_us = 20'000, .requests = 20}, kSilent);
  EXPECT_EQ(result.answered, 20u);
  EXPECT_EQ(result.latencies_us.size(), 20u);
  EXPECT_GE(result.seconds, 20 * 5e-3);
  EXPECT_LT(result.seconds, 0.3);
}

TEST(Load, ErrorsAreCountedAndTheFirstIsKept) {
  FakeTarget target(100, 5);
  const LoadResult result = run_load(target, {.lanes = 1, .warmup_us = 0, .requests = 20}, kSilent);
  EXPECT_EQ(result.errors, 4u);
  EXPECT_EQ(result.answered, 16u);
  EXPECT_EQ(result.first_error, "broken");
}

// A server that takes 10 ms at 200 requests/s over one lane falls behind by 5 ms a request. A
// closed loop would say 10 ms; the truth for someone who comes on time is far more.
TEST(Load, OpenLoopCountsFromWhenARequestWasDue) {
  FakeTarget target(10'000);
  const LoadResult result =
      run_load(target, {.lanes = 1, .rate = 200, .warmup_us = 0, .duration_us = 300'000}, kSilent);
  ASSERT_FALSE(result.latencies_us.empty());
  EXPECT_GT(quantile(result.latencies_us, 0.99), 100'000);
  EXPECT_GT(result.unsent, 20u);
  EXPECT_LT(result.unsent, 60u);
}

TEST(Load, OpenLoopKeepsItsRateWhereTheServerKeepsUp) {
  FakeTarget target(100);
  const LoadResult result =
      run_load(target, {.lanes = 8, .rate = 500, .warmup_us = 0, .duration_us = 200'000}, kSilent);
  EXPECT_EQ(target.sent, 100u);
  EXPECT_EQ(result.unsent, 0u);
}

// 150 requests are due in the measured time and some 30 can be answered: those have latencies.
TEST(Load, OpenLoopAboveCapacityMeasuresWhatWasAnswered) {
  FakeTarget target(10'000);
  const LoadResult result = run_load(
      target, {.lanes = 4, .rate = 500, .warmup_us = 200'000, .duration_us = 300'000}, kSilent);
  ASSERT_FALSE(result.latencies_us.empty());
  EXPECT_EQ(result.latencies_us.size() + result.unsent, 150u);
  EXPECT_GT(quantile(result.latencies_us, 0.99), 100'000);
}

TEST(Load, QuantilesByNearestRank) {
  const std::vector<std::uint32_t> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(quantile(values, 0.5), 5);
  EXPECT_EQ(quantile(values, 0.9), 9);
  EXPECT_EQ(quantile(values, 0.999), 10);
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

}  // namespace
}  // namespace sheaf::cli
