#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/code_point_map.h"
#include "tokenizer/merge_table.h"

namespace sheaf::tokenizer {

// What merges do to two characters side by side that are one symbol each. Built once, then only
// read.
//
// No merge crosses the border between characters whose pair is not here, whatever stands around:
// none takes a symbol that ends with the first together with one that begins with the second.
//
// Of the others it knows when they merge for certain. Say x and y, in w x y z, merge at rank r.
// What takes x away before takes it together with a symbol that ends with w; what takes y away,
// with one that begins with z; each at a rank below r, or at r if it is the same merge further to
// the left. If the lowest ranks of such merges, `before` of (w, x) and `behind` of (y, z), are too
// high for that, x and y stay until they merge. All such pairs of a text may merge at once: the
// other merges take place as ever and in the same order, provided that what x and y become merges
// only at ranks above r. Pairs for which that is not so have no `rank` here.
class CharacterPairs {
 public:
  struct Pair {
    std::uint32_t rank = MergeTable::kNoRank;
    std::int32_t id = -1;  // what they become
    // The lowest rank at which the second merges with a symbol that ends with the first, and the
    // first with one that begins with the second.
    std::uint32_t before = MergeTable::kNoRank, behind = MergeTable::kNoRank;
  };

  // `strings` are the bytes of each id, which may begin and end inside a character; `characters`
  // has the token of each character that is one symbol from the start, else -1; `table` holds
  // `merges`.
  CharacterPairs(const std::vector<MergeTable::Pair>& merges,
                 const std::vector<std::string>& strings,
                 const CodePointMap<std::int32_t>& characters, const MergeTable& table);

  // For at(): of the pair of these characters' tokens.
  std::uint32_t index_of(std::int32_t left, std::int32_t right) const {
    return std::min(indices_.rank_of(left, right), border());
  }
  // The index of every pair that no merge crosses.
  std::uint32_t border() const { return static_cast<std::uint32_t>(pairs_.size() - 1); }
  const Pair& at(std::uint32_t index) const { return pairs_[index]; }

 private:
  MergeTable indices_;
  std::vector<Pair> pairs_;  // the last one is that of all borders
};

}  // namespace sheaf::tokenizer
