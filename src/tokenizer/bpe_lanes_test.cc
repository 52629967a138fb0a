#include "tokenizer/bpe_lanes.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

namespace sheaf::tokenizer {
namespace {

using Symbols = std::vector<BpeSymbol>;

Symbols random_run(std::mt19937& random, std::size_t count, std::uint32_t letters) {
  Symbols run;
  for (std::uint32_t end = 1; run.size() < count; ++end)
    run.push_back({static_cast<std::int32_t>(random() % letters), end});
  return run;
}

std::vector<std::pair<std::int32_t, std::uint32_t>> plain(const Symbols& symbols) {
  std::vector<std::pair<std::int32_t, std::uint32_t>> result;
  for (const BpeSymbol& symbol : symbols) result.emplace_back(symbol.id, symbol.end);
  return result;
}

// Against the merger of single runs, over merges in any order, runs of all sizes and any number of
// them at once.
TEST(BpeLanes, MergesEachRunAsIfAlone) {
  std::mt19937 random(9);
  BpeLanes lanes;
  BpeMerger merger;
  for (int round = 0; round < 300; ++round) {
    const std::uint32_t letters = 1 + random() % 6;
    std::vector<MergeTable::Pair> pairs;
    auto ids = static_cast<std::int32_t>(letters);
    for (std::size_t i = random() % 40; i > 0; --i) {
      const auto any = [&] {
        return static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(ids));
      };
      pairs.push_back({any(), any(), ids});
      ++ids;
    }
    if (round % 2 == 0) std::shuffle(pairs.begin(), pairs.end(), random);
    const MergeTable table(pairs, static_cast<std::size_t>(ids));
    Symbols expected, found;
    for (std::size_t runs = random() % 6; runs > 0; --runs) {
      Symbols run = random_run(random, 1 + random() % BpeLanes::kSymbolsMax, letters);
      lanes.add(run.data(), run.size(), table, found);
      merger.merge(run, table);
      expected.insert(expected.end(), run.begin(), run.end());
    }
    lanes.flush(table, found);
    ASSERT_EQ(plain(found), plain(expected)) << "round " << round;
  }
}

}  // namespace
}  // namespace sheaf::tokenizer
