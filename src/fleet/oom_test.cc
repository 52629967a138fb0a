#include "fleet/oom.h"

#include <gtest/gtest.h>

namespace sheaf::fleet {
namespace {

TEST(OomKills, ReadsTheKernelsFiles) {
  EXPECT_EQ(parse_oom_kills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\noom_group_kill 0\n"), 5u);
  EXPECT_EQ(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n"), 12u);
  EXPECT_EQ(parse_oom_kills("oom 2\n"), 0u);
  EXPECT_EQ(parse_oom_kills(""), 0u);
}

TEST(OomWatch, ClaimsNothingWhereNothingWasKilled) { EXPECT_FALSE(OomWatch().claim()); }

}  // namespace
}  // namespace sheaf::fleet
