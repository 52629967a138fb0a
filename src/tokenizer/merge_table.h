#pragma once

#include <cstdint>
#include <vector>

namespace sheaf::tokenizer {

// Which pairs of tokens merge, in which order, and into what: a hash table with linear probing, at
// most half full. Filled once, then only read.
class MergeTable {
 public:
  static constexpr std::uint32_t kNoRank = 0xFFFFFFFF;
  struct Merge {
    std::uint32_t rank = kNoRank;  // kNoRank: the pair does not merge
    std::int32_t id = -1;          // of the merged token
  };

  explicit MergeTable(std::size_t merges_max) {
    std::size_t size = 16;
    while (size < 2 * merges_max) size *= 2;
    slots_.resize(size);
    shift_ = 64 - __builtin_ctzll(size);
  }

  // The last merge given for a pair counts.
  void set(std::int32_t left, std::int32_t right, Merge merge) {
    Slot& slot = slots_[index_of(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }

  Merge find(std::int32_t left, std::int32_t right) const {
    return slots_[index_of(key_of(left, right))].merge;
  }

 private:
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // ids are not negative

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
  }
  // Of the slot that holds `key` or would.
  std::size_t index_of(std::uint64_t key) const {
    // Multiplying moves every bit of the key up; the xor lets the upper half count below as well.
    std::size_t index = ((key ^ key >> 29) * 0x9E3779B97F4A7C15) >> shift_;
    while (slots_[index].key != key && slots_[index].key != kEmpty)
      index = (index + 1) & (slots_.size() - 1);
    return index;
  }

  std::vector<Slot> slots_;  // a power of two of them
  int shift_ = 0;
};

}  // namespace sheaf::tokenizer
