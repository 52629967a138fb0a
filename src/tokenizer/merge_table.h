#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sheaf::tokenizer {

// Which pairs of tokens merge, in which order, and into what. Whether a pair merges is as good as
// chance to the processor, so looking it up takes no branch that depends on that: a hash table with
// one place a pair and no search. It is "hash and displace" (Belazzougui, Botelho and
// Dietzfelbinger, 2009): a pair's bucket has a pilot, a byte found when the table is built, that
// leads each pair of the bucket to a place of its own. A place takes eight bytes, since what is
// looked up at random should fit into a cache. Built once, then only read.
class MergeTable {
 public:
  static constexpr std::uint32_t kNoRank = 0xFFFFFFFF;
  struct Pair {
    std::int32_t left, right;  // not negative
    std::int32_t id;           // what they merge into
  };

  // `pairs` by rank; of equal ones the last counts. Ids that are looked up are below `id_end`; one
  // of two may be -1, which merges with nothing.
  MergeTable(std::span<const Pair> pairs, std::size_t id_end);

  // kNoRank: the pair does not merge.
  std::uint32_t rank_of(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    const std::uint64_t hash = key * kFactor;
    const std::uint8_t pilot = pilots_[hash >> pilot_shift_];
    if (pilot == kHomeless) [[unlikely]]
      return rank_of_homeless(left, right);
    const std::uint64_t slot = slots_[index_of(hash, pilot)];
    const std::uint32_t mismatch = slot >> kRankBits != key ? kNoRank : 0;
    return (static_cast<std::uint32_t>(slot) & kRankMask) | mismatch;
  }
  // What the pair of this rank merges into.
  std::int32_t merged(std::uint32_t rank) const { return ids_[rank]; }

 private:
  // A slot is the two halves of a key, of 20 bits each, and a rank of 24; 0 is no pair's.
  static constexpr int kHalfBits = 20, kRankBits = 24;
  static constexpr std::uint32_t kHalfMask = (1 << kHalfBits) - 1;
  static constexpr std::uint32_t kRankMask = (1 << kRankBits) - 1;
  static constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
  // The pilot of a bucket for which none was found, as somebody might arrange, and of all if ids
  // are too large for a slot. Their pairs are kept apart, where each look-up is slower, but no less
  // right.
  static constexpr std::uint8_t kHomeless = 255;
  struct Homeless {
    std::uint64_t key;  // wide_key_of()
    std::uint32_t rank;
  };
  class Builder;

  // Of ids that fit into halves. No half is 0 but that of -1.
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left) + 1} << kHalfBits) +
           (static_cast<std::uint32_t>(right) + 1);
  }
  static std::uint64_t wide_key_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
  }
  // Multiplying moves every bit of the key up; all bits that are used have many below them.
  std::size_t index_of(std::uint64_t hash, std::uint8_t pilot) const {
    const auto first = static_cast<std::uint32_t>(hash >> kHalfBits);
    const auto step = static_cast<std::uint32_t>(hash >> (kHalfBits + 12));
    return (first + pilot * step) & mask_;
  }
  std::uint32_t rank_of_homeless(std::int32_t left, std::int32_t right) const;

  std::vector<std::uint64_t> slots_;  // a power of two of them, at most four fifths full
  std::vector<std::uint8_t> pilots_;  // by bucket, a fourth as many
  std::uint32_t mask_ = 0;
  int pilot_shift_ = 0;
  std::vector<std::int32_t> ids_;   // by rank
  std::vector<Homeless> homeless_;  // by key
};

}  // namespace sheaf::tokenizer
