#include "base/text_place.h"

#include <gtest/gtest.h>

namespace sheaf {
namespace {

TEST(TextPlace, CountsFromOne) {
  EXPECT_EQ(place_in("abc", 0), "line 1, column 1");
  EXPECT_EQ(place_in("abc", 2), "line 1, column 3");
  EXPECT_EQ(place_in("ab\ncd", 2), "line 1, column 3");  // the end of the line belongs to it
  EXPECT_EQ(place_in("ab\ncd", 4), "line 2, column 2");
  EXPECT_EQ(place_in("\n\n", 2), "line 3, column 1");
}

TEST(TextPlace, WhatLiesBeyondIsTheEnd) {
  EXPECT_EQ(place_in("", 0), "line 1, column 1");
  EXPECT_EQ(place_in("ab", 99), "line 1, column 3");
}

}  // namespace
}  // namespace sheaf
