#include "kernels/cpu/pool.h"

#include <gtest/gtest.h>

#include <chrono>

namespace sheaf::kernels::cpu {
namespace {

TEST(Pool, RunsEveryTaskOnceForAnyCount) {
  for (int threads = 1; threads <= 4; ++threads) {
    std::atomic<std::uint64_t> progress{0};
    Pool pool(threads, {.progress = &progress});
    EXPECT_EQ(pool.threads(), threads);
    std::uint64_t total = 0;
    for (std::size_t tasks = 0; tasks < 300; ++tasks) {
      std::vector<std::atomic<int>> runs(tasks);
      pool.run(tasks, [&](std::size_t task, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        runs[task].fetch_add(1);
      });
      for (const auto& count : runs) ASSERT_EQ(count.load(), 1);
      total += tasks;
    }
    EXPECT_EQ(progress.load(), total);
  }
}

TEST(Pool, WakesThreadsThatHaveGoneToSleep) {
  Pool pool(3, {});
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // far longer than they spin
    std::atomic<int> runs{0};
    pool.run(64, [&](std::size_t, int) { runs.fetch_add(1); });
    ASSERT_EQ(runs.load(), 64);
  }
}

TEST(Pool, OneThreadsResultIsSeenByAllInTheNextRun) {
  Pool pool(4, {});
  std::vector<std::uint64_t> values(1000, 1);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::uint64_t> next(values.size());
    pool.run(values.size(),
             [&](std::size_t i, int) { next[i] = values[i] + values[values.size() - 1 - i]; });
    values = next;
  }
  for (std::uint64_t value : values) ASSERT_EQ(value, 1u << 20);
}

TEST(Pool, CountsTheTimeWithinTasks) {
  for (const int threads : {1, 2}) {
    std::atomic<std::uint64_t> busy_ns{0};
    Pool pool(threads, {.busy_ns = &busy_ns});
    const auto nap = std::chrono::milliseconds(2);
    pool.run(4, [nap](std::size_t, int) { std::this_thread::sleep_for(nap); });
    EXPECT_GE(busy_ns.load(), 8'000'000u);  // however many threads shared it
  }
}

// More threads than cores: most are late for most runs, and enter whichever is open then.
TEST(Pool, LateThreadsEnterALaterRunOrNone) {
  Pool pool(16, {});
  for (std::uint64_t round = 0; round < 5'000; ++round) {
    const std::size_t tasks = 2 + round % 7;
    std::atomic<std::uint64_t> sum{0};
    pool.run(tasks, [&](std::size_t task, int) { sum.fetch_add(task + round); });
    ASSERT_EQ(sum.load(), tasks * round + tasks * (tasks - 1) / 2);
  }
}

}  // namespace
}  // namespace sheaf::kernels::cpu
