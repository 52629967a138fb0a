#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sheaf::tokenizer {

// Which pairs of tokens merge, in which order, and into what: a hash table with linear probing, at
// most half full. Most pairs looked up do not merge; a filter of one bit a hash, a 32nd of the
// table's size, turns away at least 7 of 8 of them before they cost a read of the table. Filled
// once, then only read.
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
    shift_ = 64 - std::countr_zero(size);
    filter_.resize(size * kFilterBits / 64);
  }

  // The last merge given for a pair counts.
  void set(std::int32_t left, std::int32_t right, Merge merge) {
    const std::uint64_t key = key_of(left, right);
    const std::uint64_t bit = filter_bit_of(hash_of(key));
    filter_[bit / 64] |= std::uint64_t{1} << bit % 64;
    slots_[index_of(key, hash_of(key))] = {key, merge};
  }

  Merge find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    const std::uint64_t hash = hash_of(key);
    const std::uint64_t bit = filter_bit_of(hash);
    if ((filter_[bit / 64] >> bit % 64 & 1) == 0) return {};
    return slots_[index_of(key, hash)].merge;
  }

 private:
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr std::size_t kFilterBits = 4;               // a slot
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // ids are not negative

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
  }
  // Multiplying moves every bit of the key up; the xor lets the upper half count below as well.
  static std::uint64_t hash_of(std::uint64_t key) { return (key ^ key >> 29) * 0x9E3779B97F4A7C15; }
  std::uint64_t filter_bit_of(std::uint64_t hash) const {
    return hash >> (shift_ - std::countr_zero(kFilterBits));
  }
  // Of the slot that holds `key` or would.
  std::size_t index_of(std::uint64_t key, std::uint64_t hash) const {
    std::size_t index = hash >> shift_;
    while (slots_[index].key != key && slots_[index].key != kEmpty)
      index = (index + 1) & (slots_.size() - 1);
    return index;
  }

  std::vector<Slot> slots_;  // a power of two of them
  std::vector<std::uint64_t> filter_;
  int shift_ = 0;
};

}  // namespace sheaf::tokenizer
