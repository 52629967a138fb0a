#include "cli/progress_bar.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

using Unit = ProgressBar::Unit;

TEST(ProgressBar, ShowsShareRateAndTimeLeft) {
  EXPECT_EQ(progress_line("embed", 50, 200, Unit::count, 10, 79),
            "embed [#######                       ]  25% 50/200 5/s, 0:30 left");
  EXPECT_EQ(progress_line("batch 16", 2'500, 10'000, Unit::milliseconds, 2.5, 79),
            "batch 16 [#######                       ]  25% 2.50 s/10.0 s, 0:08 left");
}

TEST(ProgressBar, SaysNothingOfTheTimeLeftAtFirstAndAtLast) {
  EXPECT_EQ(progress_line("embed", 1, 200, Unit::count, 0.5, 79),
            "embed [                              ]   0% 1/200 2/s");
  EXPECT_EQ(progress_line("embed", 200, 200, Unit::count, 10, 79),
            "embed [##############################] 100% 200/200 20/s, finishing");
}

TEST(ProgressBar, UnknownTotalHasNoShare) {
  EXPECT_EQ(progress_line("embed", 3'000, 0, Unit::count, 2, 79), "embed 3.00k 1.50k/s");
}

TEST(ProgressBar, NeverWiderThanTheTerminal) {
  for (std::size_t columns : {10u, 40u, 60u, 79u})
    for (std::uint64_t done : {0u, 1u, 999'999'999u, 2'000'000'000u})
      EXPECT_LE(
          progress_line(std::string(30, 'x'), done, 1'000'000'000, Unit::bytes, 3, columns).size(),
          columns);
}

}  // namespace
}  // namespace sheaf::cli
