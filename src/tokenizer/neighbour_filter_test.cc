#include "tokenizer/neighbour_filter.h"

#include <gtest/gtest.h>

namespace sheaf::tokenizer {
namespace {

TEST(NeighbourFilter, HoldsWhatStandsSideBySide) {
  NeighbourFilter filter(100);
  filter.add("ab中");
  filter.add("\xB8\xAD国x\xE4\xB8");  // begins and ends inside a character
  filter.add("");
  EXPECT_TRUE(filter.may_contain('a', 'b'));
  EXPECT_TRUE(filter.may_contain('b', U'中'));
  EXPECT_TRUE(filter.may_contain(U'国', 'x'));
  int found = 0;
  for (unicode::CodePoint c = 0x5000; c < 0x5000 + 1000; ++c) {
    if (filter.may_contain(c, 'a') || filter.may_contain(U'中', c)) ++found;
  }
  EXPECT_LT(found, 100);
}

TEST(NeighbourFilter, OfNothingHoldsNothing) {
  EXPECT_FALSE(NeighbourFilter().may_contain('a', 'b'));
}

}  // namespace
}  // namespace sheaf::tokenizer
