#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tokenizer/merge_table.h"

namespace sheaf::tokenizer {

// A token of a piece, or a symbol that may yet merge; begins where the one before it ends.
struct BpeSymbol {
  std::int32_t id;
  std::uint32_t end;  // in bytes of the piece
};

// Carries out the merges of a piece, the lowest rank first and of equal ones the leftmost. Holds
// what that needs, to be kept between pieces.
class BpeMerger {
 public:
  // Up to so many symbols are merged by looking at all ranks each time; more, by a heap, which is
  // slower a symbol.
  static constexpr std::size_t kShortMax = 64;

  void merge(std::vector<BpeSymbol>& symbols, const MergeTable& table);

 private:
  void merge_short(std::vector<BpeSymbol>& symbols, const MergeTable& table);
  void merge_long(std::vector<BpeSymbol>& symbols, const MergeTable& table);

  // Of each symbol with the next one, as rank << 32 | position of the left one.
  std::array<std::uint64_t, kShortMax> pairs_ = {};
  struct Links {
    std::uint32_t previous, next;
  };
  std::vector<Links> links_;
  std::vector<std::uint64_t> heap_;  // of such pairs
};

}  // namespace sheaf::tokenizer
