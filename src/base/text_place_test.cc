#include "base/text_place.h"

#include <gtest/gtest.h>

namespace sheaf {
namespace {

TEST(TextPlace, CountsFromOne) {
  EXPECT_EQ(line_and_column("abc", 0), "line 1, column 1");
  EXPECT_EQ(line_and_column("abc", 2), "line 1, column 3");
  EXPECT_EQ(line_and_column("ab\ncd", 2), "line 1, column 3");  // the end of the line belongs to it
  EXPECT_EQ(line_and_column("ab\ncd", 4), "line 2, column 2");
  EXPECT_EQ(line_and_column("\n\n", 2), "line 3, column 1");
}

TEST(TextPlace, WhatLiesBeyondIsTheEnd) {
  EXPECT_EQ(line_and_column("", 0), "line 1, column 1");
  EXPECT_EQ(line_and_column("ab", 99), "line 1, column 3");
}

}  // namespace
}  // namespace sheaf
