#include "tokenizer/character_pairs.h"

#include <gtest/gtest.h>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

// Ids are places in `strings`; of characters those that are one.
class CharacterPairsTest : public testing::Test {
 protected:
  CharacterPairs pairs_of(const std::vector<MergeTable::Pair>& merges) const {
    CodePointMap<std::int32_t> characters(-1);
    for (std::size_t id = 0; id < strings_.size(); ++id) {
      if (!unicode::is_one_character(strings_[id])) continue;
      const char* p = strings_[id].data();
      characters.set(unicode::decode_utf8(p), static_cast<std::int32_t>(id));
    }
    return {merges, strings_, characters, MergeTable(merges, strings_.size())};
  }
  std::vector<std::string> strings_{"中", "国", "人", "中国", "国人", "中国人", "人中国", "人中"};
  static constexpr std::uint32_t kNoRank = MergeTable::kNoRank;
};

TEST_F(CharacterPairsTest, BordersAreWhereNoMergeJoins) {
  const CharacterPairs pairs = pairs_of({{0, 1, 3}, {3, 2, 5}});
  EXPECT_NE(pairs.index_of(0, 1), pairs.border());
  EXPECT_NE(pairs.index_of(1, 2), pairs.border());  // within 中国人
  EXPECT_EQ(pairs.index_of(1, 0), pairs.border());
  EXPECT_EQ(pairs.index_of(2, 0), pairs.border());
  EXPECT_EQ(pairs.at(pairs.border()).rank, kNoRank);
}

TEST_F(CharacterPairsTest, KnowsTheLowestRanksAroundEachPair) {
  const CharacterPairs pairs = pairs_of({{0, 1, 3}, {1, 2, 4}, {3, 2, 5}, {2, 3, 6}});
  const CharacterPairs::Pair first = pairs.at(pairs.index_of(0, 1));
  EXPECT_EQ(first.rank, 0u);
  EXPECT_EQ(first.id, 3);
  EXPECT_EQ(first.before, 0u);
  EXPECT_EQ(first.behind, 0u);
  const CharacterPairs::Pair second = pairs.at(pairs.index_of(1, 2));
  EXPECT_EQ(second.rank, 1u);
  EXPECT_EQ(second.before, 1u);  // 中国 + 人 is later
  EXPECT_EQ(second.behind, 1u);
  const CharacterPairs::Pair third = pairs.at(pairs.index_of(2, 0));
  EXPECT_EQ(third.rank, kNoRank);
  EXPECT_EQ(third.before, kNoRank);
  EXPECT_EQ(third.behind, 3u);  // 人 + 中国
}

TEST_F(CharacterPairsTest, WhatTwoBecomeMustNotMergeBeforeThey) {
  const CharacterPairs pairs = pairs_of({{3, 2, 5}, {0, 1, 3}});
  const CharacterPairs::Pair pair = pairs.at(pairs.index_of(0, 1));
  EXPECT_EQ(pair.rank, kNoRank);
  EXPECT_EQ(pair.before, 1u);
}

TEST_F(CharacterPairsTest, OfEqualMergesTheLastOneCounts) {
  const CharacterPairs pairs = pairs_of({{0, 1, 3}, {2, 0, 7}, {0, 1, 3}});
  EXPECT_EQ(pairs.at(pairs.index_of(0, 1)).rank, 2u);
  EXPECT_EQ(pairs.at(pairs.index_of(0, 1)).before, 0u);  // lower than need be does no harm
}

TEST_F(CharacterPairsTest, PartsOfCharactersAreLeftOut) {
  strings_.insert(strings_.end(), {"国\xE4", "\xBD", "a\xE4\xBD"});
  const CharacterPairs pairs = pairs_of({{8, 9, 10}, {0, 8, 3}});
  EXPECT_EQ(pairs.index_of(1, 0), pairs.border());
  EXPECT_NE(pairs.index_of(0, 1), pairs.border());
}

}  // namespace
}  // namespace sheaf::tokenizer
