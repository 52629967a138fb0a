#include "tokenizer/bpe_lanes.h"

#include <algorithm>
#include <array>
#include <bit>

namespace sheaf::tokenizer {
namespace {

// Pairs are compared as numbers of floating point, whose order is that of their bits and of which a
// processor finds the least in half as many instructions: 2 and more, by rank, then by place. No
// rank is so high that it loses bits: all files of merges are below 4 GiB.
constexpr std::uint32_t kExponent = 0x40000000, kRankBits = 0x1FFFFFFF;

constexpr double pair_of(std::uint32_t rank, std::size_t place) {
  return std::bit_cast<double>(std::uint64_t{kExponent | (rank & kRankBits)} << 32 | place);
}

constexpr double kNoPair = pair_of(MergeTable::kNoRank, 0);

// Of kSymbolsMax; the eight minima do not wait for each other.
double least_of(const double* pairs) {
  const auto lesser = [](double a, double b) { return a < b ? a : b; };
  std::array<double, 8> least;
  std::copy_n(pairs, least.size(), least.begin());
#pragma GCC unroll 8
  for (std::size_t i = least.size(); i < BpeLanes::kSymbolsMax; i += least.size()) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < least.size(); ++k) least[k] = lesser(least[k], pairs[i + k]);
  }
  return lesser(lesser(lesser(least[0], least[1]), lesser(least[2], least[3])),
                lesser(lesser(least[4], least[5]), lesser(least[6], least[7])));
}

std::size_t lowest_bit(std::uint64_t bits) {
  return static_cast<std::size_t>(std::countr_zero(bits));
}

std::size_t highest_bit(std::uint64_t bits) {
  return static_cast<std::size_t>(std::bit_width(bits)) - 1;
}

}  // namespace

inline void BpeLanes::Lane::look_up(std::size_t left, std::size_t right, const MergeTable& table) {
  pairs[left] = pair_of(table.rank_of(ids[left], ids[right]), left);
}

void BpeLanes::Lane::start(const BpeSymbol* symbols, std::size_t size, const MergeTable& table) {
  count = size;
  live = (std::uint64_t{4} << size) - 1;  // with the places beside them
  ids[0] = ids[size + 1] = kNothing;
  for (std::size_t i = 0; i < size; ++i) {
    ids[i + 1] = symbols[i].id;
    ends[i + 1] = symbols[i].end;
  }
  std::fill(&ids[kIdle - 1], &ids[kIdle + 3], kNothing);
  for (std::size_t place = 1; place <= size; ++place) look_up(place, place + 1, table);
  std::fill(&pairs[size + 1], &pairs[kSymbolsMax + 1], kNoPair);
}

// That of the pair with the lowest rank; says whether there was one.
inline bool BpeLanes::Lane::merge_next(const MergeTable& table) {
  const double least = least_of(&pairs[1]);
  const auto best = std::bit_cast<std::uint64_t>(least);
  const bool is_any = least < kNoPair;
  const std::uint32_t mask = 0 - std::uint32_t{is_any};  // compilers would branch
  const std::size_t left = ((best % kPlaces ^ kIdle) & mask) ^ kIdle;
  const std::uint32_t rank = (static_cast<std::uint32_t>(best >> 32) - kExponent) & mask;
  live |= kIdlePlaces;
  const std::uint64_t behind = live & ~std::uint64_t{1} << left;
  const std::size_t right = lowest_bit(behind);
  const std::size_t next = lowest_bit(behind & (behind - 1));
  const std::size_t previous = highest_bit(live & ((std::uint64_t{1} << left) - 1));
  ids[left] = table.merged(rank) | static_cast<std::int32_t>(~mask);
  ends[left] = ends[right];
  live ^= std::uint64_t{1} << right;
  pairs[right] = kNoPair;
  look_up(left, next, table);
  look_up(previous, left, table);
  return is_any;
}

void BpeLanes::Lane::append_to(std::vector<BpeSymbol>& tokens) const {
  std::size_t size = tokens.size();
  tokens.resize(size + count);
  for (std::size_t place = 1; place <= count; ++place) {
    tokens[size] = {ids[place], ends[place]};
    size += live >> place & 1;
  }
  tokens.resize(size);
}

void BpeLanes::add(const BpeSymbol* symbols, std::size_t count, const MergeTable& table,
                   std::vector<BpeSymbol>& tokens) {
  lanes_[taken_++].start(symbols, count, table);
  if (taken_ == kLanes) flush(table, tokens);
}

void BpeLanes::flush(const MergeTable& table, std::vector<BpeSymbol>& tokens) {
  if (taken_ == 0) return;
  for (std::size_t i = taken_; i < kLanes; ++i) lanes_[i].start(nullptr, 0, table);
  for (bool is_any = true; is_any;) {
    is_any = false;
    for (Lane& lane : lanes_) is_any |= lane.merge_next(table);
  }
  for (std::size_t i = 0; i < taken_; ++i) lanes_[i].append_to(tokens);
  taken_ = 0;
}

}  // namespace sheaf::tokenizer
