#include "tokenizer/merge_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sheaf::tokenizer {
namespace {

using Pairs = std::vector<MergeTable::Pair>;

// Every pair has the rank it was given last, and pairs beside them have none.
void check(const Pairs& pairs, std::mt19937& random, std::uint32_t id_end) {
  const MergeTable table(pairs, id_end);
  std::map<std::pair<std::int32_t, std::int32_t>, std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < pairs.size(); ++rank)
    ranks[{pairs[rank].left, pairs[rank].right}] = rank;
  for (const auto& [pair, rank] : ranks) {
    ASSERT_EQ(table.rank_of(pair.first, pair.second), rank);
    ASSERT_EQ(table.merged(rank), pairs[rank].id);
  }
  for (const MergeTable::Pair& pair : pairs) {
    const auto other = static_cast<std::int32_t>(random() % id_end);
    for (const auto& [left, right] :
         {std::pair(pair.right, pair.left), std::pair(pair.left, other), std::pair(other, other),
          std::pair(-1, other), std::pair(pair.left, -1)}) {
      const auto found = ranks.find({left, right});
      ASSERT_EQ(table.rank_of(left, right),
                found == ranks.end() ? MergeTable::kNoRank : found->second);
    }
  }
}

TEST(MergeTable, FindsWhatItWasGivenAndNothingElse) {
  std::mt19937 random(3);
  for (const std::size_t count : {0, 1, 2, 12, 13, 100, 5000, 40'000}) {
    for (const std::uint32_t id_end : {7u, 300u, 150'000u, 0xFFFFFu}) {
      Pairs pairs;
      const auto id = [&] { return static_cast<std::int32_t>(random() % id_end); };
      for (std::size_t i = 0; i < count; ++i) pairs.push_back({id(), id(), id()});
      check(pairs, random, id_end);
    }
  }
}

// Ids beyond what a place in the table holds, among others, up to the largest.
TEST(MergeTable, HoldsIdsOfAnySize) {
  std::mt19937 random(4);
  Pairs pairs;
  for (int i = 0; i < 3000; ++i) {
    const auto id = [&] { return static_cast<std::int32_t>(random() >> (1 + random() % 31)); };
    pairs.push_back({id(), id(), id()});
  }
  for (const std::int32_t id : {0xFFFFE, 0xFFFFF, 0x100000, 0x7FFFFFFE, 0x7FFFFFFF}) {
    pairs.push_back({id, id, 1});
    pairs.push_back({0, id, 2});
    pairs.push_back({id, 0, 3});
  }
  check(pairs, random, 0x80000000);
}

// The hash undone: pairs of one bucket, as a file made for this would hold them.
TEST(MergeTable, ManyPairsOfOneBucketAreFoundAsWell) {
  std::mt19937 random(5);
  Pairs pairs;
  for (std::int32_t left = 0; pairs.size() < 300; ++left) {
    for (std::int32_t right = 0; right < 1000; ++right) {
      const std::uint64_t key = (std::uint64_t{static_cast<std::uint32_t>(left)} + 1) << 20 |
                                (static_cast<std::uint32_t>(right) + 1);
      const std::uint64_t product = key * 0x9E3779B97F4A7C15;
      if (product >> 54 == 0) pairs.push_back({left, right, 5});
    }
  }
  check(pairs, random, 300'000);
}

}  // namespace
}  // namespace sheaf::tokenizer
