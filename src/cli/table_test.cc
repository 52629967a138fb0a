#include "cli/table.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

TEST(Table, AlignsByWidthOnScreen) {
  Table table({{"name"}, {"where", true}, {"time"}});
  table.add_row({"a", "here", "5 µs"});
  table.add_row({"longer", "x", "12 ms"});
  EXPECT_EQ(table.render(),
            "name    where   time\n"
            "a       here    5 µs\n"
            "longer  x      12 ms\n");
}

TEST(Table, NumbersForPeople) {
  EXPECT_EQ(human_duration(812), "812 µs");
  EXPECT_EQ(human_duration(1'250), "1.25 ms");
  EXPECT_EQ(human_duration(45'300), "45.3 ms");
  EXPECT_EQ(human_duration(3'100'000), "3.10 s");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(45'200), "45.2k");
  EXPECT_EQ(human_count(1'310'000), "1.31M");
}

}  // namespace
}  // namespace sheaf::cli
