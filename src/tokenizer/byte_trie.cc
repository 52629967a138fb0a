#include "tokenizer/byte_trie.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <deque>

namespace sheaf::tokenizer {
namespace {

// 256 bits, quick to search.
class ByteSet {
 public:
  bool contains(unsigned byte) const { return (words_[byte / 64] >> byte % 64 & 1) != 0; }
  void insert(unsigned byte) { words_[byte / 64] |= std::uint64_t{1} << byte % 64; }
  // The first byte from `byte` on that is not in the set; 256 if there is none.
  unsigned next_absent(unsigned byte) const {
    for (unsigned i = byte / 64; i < 4; ++i) {
      std::uint64_t absent = ~words_[i];
      if (i == byte / 64) absent &= ~std::uint64_t{0} << byte % 64;
      if (absent != 0) return i * 64 + static_cast<unsigned>(std::countr_zero(absent));
    }
    return 256;
  }

 private:
  std::array<std::uint64_t, 4> words_ = {};
};

}  // namespace

// Places the nodes breadth first, so that the much used top of the trie shares cache lines.
class ByteTrieBuilder {
 public:
  ByteTrieBuilder(std::span<const ByteTrie::Entry> entries, std::vector<ByteTrie::Unit>& units)
      : entries_(entries), units_(units) {}

  // The base of the root, or nothing if the nodes do not fit.
  std::optional<std::uint32_t> build() {
    add_block();
    blocks_.clear();  // the first block takes no nodes
    std::uint32_t root = 0;
    if (entries_.empty()) return root;
    waiting_.push_back({0, entries_.size(), 0, kRoot});
    while (!waiting_.empty()) {
      if (units_.size() >= kUnitsMax) return std::nullopt;
      const Range range = waiting_.front();
      waiting_.pop_front();
      const std::uint32_t base = place_children(range);
      if (range.unit == kRoot) {
        root = base;
      } else {
        units_[range.unit].base = base;
      }
    }
    if (units_.size() >= kUnitsMax) return std::nullopt;
    for (const Block& block : blocks_) close(block);
    return root;
  }

 private:
  static constexpr unsigned kBlockUnits = 256;
  static constexpr std::size_t kUnitsMax = std::size_t{1} << 24;  // Unit::base has 24 bits
  static constexpr std::uint32_t kRoot = 0;
  // Blocks open at a time, and how often a block may refuse before it is closed. Searching longer
  // would save a little memory and cost start-up time.
  static constexpr std::size_t kOpenBlocks = 4;
  static constexpr int kRefusals = 8;

  // Entries [first, last) share `depth` bytes; their node is `unit`.
  struct Range {
    std::size_t first, last, depth;
    std::uint32_t unit;
  };
  struct Block {
    std::uint32_t start;
    ByteSet used_units;
    ByteSet used_bases;
    int refusals = 0;
  };

  unsigned char byte_at(std::size_t entry, std::size_t depth) const {
    return static_cast<unsigned char>(entries_[entry].key[depth]);
  }

  // Gives the children of a node their units and queues them. Returns the node's base.
  std::uint32_t place_children(Range range) {
    // The key that ends here is the node's own, set when the node was placed.
    if (entries_[range.first].key.size() == range.depth) ++range.first;
    if (range.first == range.last) return 0;
    children_.clear();
    for (std::size_t i = range.first; i < range.last;) {
      const std::size_t start = i;
      const unsigned char label = byte_at(i, range.depth);
      while (i < range.last && byte_at(i, range.depth) == label) ++i;
      children_.push_back({label, start, i});
    }
    const std::uint32_t base = take_base();
    for (const Child& child : children_) {
      const std::uint32_t unit = base ^ child.label;
      const ByteTrie::Entry& entry = entries_[child.first];
      units_[unit].label = child.label;
      if (entry.key.size() == range.depth + 1) units_[unit].value = entry.value;
      if (child.last - child.first > 1)
        waiting_.push_back({child.first, child.last, range.depth + 1, unit});
    }
    tails_.clear();
    for (const Child& child : children_) {
      if (child.last - child.first == 1) tails_.push_back(child);
    }
    for (const Child& tail : tails_)
      place_tail(entries_[tail.first], range.depth + 1, base ^ tail.label);
    return base;
  }

  // The rest of a key that shares its first `depth` bytes, which lead to `unit`, with no other: a
  // chain, laid at once rather than queued, which halves the time.
  void place_tail(const ByteTrie::Entry& entry, std::size_t depth, std::uint32_t unit) {
    for (; depth < entry.key.size() && units_.size() < kUnitsMax; ++depth) {
      const auto label = static_cast<unsigned char>(entry.key[depth]);
      children_.assign(1, {label, 0, 0});
      const std::uint32_t base = take_base();
      units_[unit].base = base;
      unit = base ^ label;
      units_[unit].label = label;
      if (depth + 1 == entry.key.size()) units_[unit].value = entry.value;
    }
  }

  // A base, unused so far, from which all units of children_ are free; both are taken.
  std::uint32_t take_base() {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (const int base = find_base(blocks_[i]); base >= 0) return take(blocks_[i], base);
      if (++blocks_[i].refusals < kRefusals) continue;
      close(blocks_[i]);
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(i--));
    }
    if (blocks_.size() == kOpenBlocks) {
      close(blocks_.front());
      blocks_.erase(blocks_.begin());
    }
    add_block();
    return take(blocks_.back(), find_base(blocks_.back()));
  }

  int find_base(const Block& block) const {
    const unsigned char label = children_.front().label;
    for (unsigned unit = block.used_units.next_absent(0); unit < kBlockUnits;
         unit = unit + 1 < kBlockUnits ? block.used_units.next_absent(unit + 1) : kBlockUnits) {
      const unsigned base = unit ^ label;
      if (block.used_bases.contains(base)) continue;
      const bool fits = std::all_of(
          children_.begin() + 1, children_.end(),
          [&](const Child& child) { return !block.used_units.contains(base ^ child.label); });
      if (fits) return static_cast<int>(base);
    }
    return -1;
  }

  std::uint32_t take(Block& block, int base) {
    assert(base >= 0);
    const auto offset = static_cast<unsigned>(base);
    block.used_bases.insert(offset);
    for (const Child& child : children_) block.used_units.insert(offset ^ child.label);
    return block.start + offset;
  }

  void add_block() {
    const auto start = static_cast<std::uint32_t>(units_.size());
    blocks_.push_back({start, {}, {}});
    for (unsigned i = 0; i < kBlockUnits; ++i) {
      units_.push_back({static_cast<std::uint8_t>(i ^ 1), 0, -1});
    }
  }

  // Labels the units left over with what would make them children of a base that no node has. There
  // is one: a block whose bases were all taken has no unit left.
  void close(const Block& block) {
    const unsigned unused = block.used_bases.next_absent(0);
    for (unsigned i = 0; i < kBlockUnits; ++i) {
      if (!block.used_units.contains(i))
        units_[block.start + i].label = static_cast<std::uint8_t>(i ^ unused);
    }
  }

  struct Child {
    unsigned char label;
    std::size_t first, last;
  };
  std::span<const ByteTrie::Entry> entries_;
  std::vector<ByteTrie::Unit>& units_;
  std::vector<Block> blocks_;    // those still open
  std::vector<Child> children_;  // of the node being placed
  std::vector<Child> tails_;
  std::deque<Range> waiting_;
};

std::optional<ByteTrie> ByteTrie::build(std::span<const Entry> sorted) {
  ByteTrie trie;
  const std::optional<std::uint32_t> root = ByteTrieBuilder(sorted, trie.units_).build();
  if (!root) return std::nullopt;
  trie.root_.base = *root;
  return trie;
}

ByteTrie::Node ByteTrie::after(std::string_view prefix) const {
  Node node = root_;
  for (const char c : prefix) {
    const auto byte = static_cast<unsigned char>(c);
    const Unit& unit = units_[node.base ^ byte];
    if (unit.label != byte) return {};
    node.base = unit.base;
  }
  return node;
}

}  // namespace sheaf::tokenizer
