#include "core/watchdog.h"

#include <gtest/gtest.h>

#include <vector>

namespace sheaf::core {
namespace {

using Verdict = Watchdog::Verdict;

struct Step {
  TimeUs now_us;
  ProgressSample sample;
  Verdict verdict;
};

TEST(Watchdog, JudgesByProgress) {
  struct Case {
    const char* what;
    TimeUs expected_us;
    std::vector<Step> steps;
  };
  for (const Case& c : {
           Case{"stopped, noticed at once", 1'000, {{0, {1, 0, true}, Verdict::stopped}}},
           Case{"stopped without work", 0, {{0, {1, 0, true}, Verdict::stopped}}},
           Case{"idle for long",
                0,
                {{0, {1, 0, false}, Verdict::fine}, {9'000'000, {1, 0, false}, Verdict::fine}}},
           Case{"computes in vain",
                60'000'000,
                {{0, {1, 100, false}, Verdict::fine},
                 {400'000, {1, 400'100, false}, Verdict::fine},
                 {500'000, {1, 500'100, false}, Verdict::hung_cpu}}},
           Case{"sleeps: half a second of wall time",
                1'000,
                {{0, {1, 0, false}, Verdict::fine},
                 {499'999, {1, 0, false}, Verdict::fine},
                 {500'000, {1, 0, false}, Verdict::hung_wall}}},
           Case{"starved of CPU in a long batch: five times the expected",
                1'000'000,
                {{0, {1, 0, false}, Verdict::fine},
                 {4'900'000, {1, 1'000, false}, Verdict::fine},
                 {5'000'000, {1, 1'000, false}, Verdict::hung_wall}}},
           Case{"waits for a core",
                1'000,
                {{0, {1, 0, false, 100}, Verdict::fine},
                 {900'000, {1, 10'000, false, 880'100}, Verdict::fine},
                 {1'300'000, {1, 10'000, false, 880'100}, Verdict::fine},
                 {1'380'000, {1, 10'000, false, 880'100}, Verdict::hung_wall}}},
           Case{"slow but alive",
                1'000,
                {{0, {1, 0, false}, Verdict::fine},
                 {400'000, {2, 400'000, false}, Verdict::fine},
                 {800'000, {3, 800'000, false}, Verdict::fine},
                 {1'290'000, {3, 1'290'000, false}, Verdict::fine},
                 {1'300'000, {3, 1'300'000, false}, Verdict::hung_cpu}}},
       }) {
    Watchdog watchdog(500'000, 500'000);
    watchdog.restart(0);
    for (const Step& step : c.steps)
      EXPECT_EQ(watchdog.judge(step.now_us, step.sample, c.expected_us), step.verdict)
          << c.what << " at " << step.now_us;
  }
}

TEST(Watchdog, ResultsAndNewBatchesAreProgress) {
  Watchdog watchdog(500'000, 500'000);
  watchdog.restart(0);
  watchdog.judge(0, {1, 0, false}, 1'000);
  watchdog.advanced(400'000);
  EXPECT_EQ(watchdog.judge(600'000, {1, 600'000, false}, 1'000), Verdict::fine);
  EXPECT_EQ(watchdog.judge(950'000, {1, 700'000, false}, 1'000), Verdict::hung_wall);
}

}  // namespace
}  // namespace sheaf::core
