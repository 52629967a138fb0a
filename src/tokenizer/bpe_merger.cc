#include "tokenizer/bpe_merger.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace sheaf::tokenizer {
namespace {

constexpr std::uint64_t kNoPair = std::uint64_t{MergeTable::kNoRank} << 32;
constexpr std::size_t kPairsAtOnce = 4;

std::uint64_t pair_of(std::uint32_t rank, std::size_t left) {
  return std::uint64_t{rank} << 32 | left;
}

// Of a multiple of four; the four minima do not wait for each other.
std::uint64_t least_of(const std::uint64_t* pairs, std::size_t count) {
  const auto lesser = [](std::uint64_t a, std::uint64_t b) { return a < b ? a : b; };
  std::uint64_t a = kNoPair, b = kNoPair, c = kNoPair, d = kNoPair;
  for (std::size_t i = 0; i < count; i += kPairsAtOnce) {
    a = lesser(a, pairs[i]);
    b = lesser(b, pairs[i + 1]);
    c = lesser(c, pairs[i + 2]);
    d = lesser(d, pairs[i + 3]);
  }
  return lesser(lesser(a, b), lesser(c, d));
}

}  // namespace

void BpeMerger::merge(std::vector<BpeSymbol>& symbols, const MergeTable& table) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortMax) {
    merge_short(symbols, table);
  } else {
    merge_long(symbols, table);
  }
}

// Nothing moves before the end: `live` has a bit for each symbol that no other has swallowed.
void BpeMerger::merge_short(std::vector<BpeSymbol>& symbols, const MergeTable& table) {
  const std::size_t count = symbols.size();
  const std::size_t scanned = (count + kPairsAtOnce - 1) / kPairsAtOnce * kPairsAtOnce;
  std::uint64_t live = ~std::uint64_t{0} >> (kShortMax - count);
  std::fill(pairs_.begin() + static_cast<std::ptrdiff_t>(count) - 1,
            pairs_.begin() + static_cast<std::ptrdiff_t>(scanned), kNoPair);
  const auto look_up = [&](std::size_t left, std::size_t right) {
    pairs_[left] = pair_of(table.rank_of(symbols[left].id, symbols[right].id), left);
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i, i + 1);
  for (;;) {
    const std::uint64_t best = least_of(pairs_.data(), scanned);
    if (best >= kNoPair) break;
    const std::size_t left = best % kShortMax;
    const std::uint64_t behind = ~std::uint64_t{1} << left;
    const auto right = static_cast<std::size_t>(std::countr_zero(live & behind));
    symbols[left] = {table.merged(static_cast<std::uint32_t>(best >> 32)), symbols[right].end};
    live ^= std::uint64_t{1} << right;
    pairs_[left] = pairs_[right] = kNoPair;
    if (const std::uint64_t next = live & behind)
      look_up(left, static_cast<std::size_t>(std::countr_zero(next)));
    if (const std::uint64_t before = live & ~(behind | std::uint64_t{1} << left))
      look_up(static_cast<std::size_t>(std::bit_width(before)) - 1, left);
  }
  std::size_t kept = 0;
  for (; live != 0; live &= live - 1)
    symbols[kept++] = symbols[static_cast<std::size_t>(std::countr_zero(live))];
  symbols.resize(kept);
}

void BpeMerger::merge_long(std::vector<BpeSymbol>& symbols, const MergeTable& table) {
  constexpr std::uint32_t kNone = 0xFFFFFFFF;
  const auto count = static_cast<std::uint32_t>(symbols.size());
  links_.resize(count);
  heap_.clear();
  const auto rank_at = [&](std::uint32_t i) {
    return links_[i].next == kNone ? MergeTable::kNoRank
                                   : table.rank_of(symbols[i].id, symbols[links_[i].next].id);
  };
  const auto push = [&](std::uint32_t i) {
    const std::uint64_t pair = pair_of(rank_at(i), i);
    if (pair >= kNoPair) return;
    heap_.push_back(pair);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    links_[i] = {i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t pair = pair_of(rank_at(i), i);
    if (pair < kNoPair) heap_.push_back(pair);
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    const std::uint64_t pair = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const auto left = static_cast<std::uint32_t>(pair);
    if (symbols[left].id < 0) continue;  // was merged into the one before
    const std::uint32_t rank = rank_at(left);
    if (rank != pair >> 32) continue;  // a neighbour has changed since
    const std::uint32_t right = links_[left].next;
    symbols[left] = {table.merged(rank), symbols[right].end};
    symbols[right].id = -1;
    links_[left].next = links_[right].next;
    if (links_[left].next != kNone) links_[links_[left].next].previous = left;
    if (links_[left].previous != kNone) push(links_[left].previous);
    push(left);
  }
  std::erase_if(symbols, [](const BpeSymbol& symbol) { return symbol.id < 0; });
}

}  // namespace sheaf::tokenizer
