#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sheaf::tokenizer {

// A set of byte strings, each with a value, that answers "which is the longest one that this text
// begins with?" in one step a byte. A double array: a node's child by byte b sits at index base ^
// b, so a step is one load of eight bytes. Immutable once built.
class ByteTrie {
 public:
  struct Entry {
    std::string_view key;  // not empty
    std::int32_t value;    // not negative
  };
  struct Match {
    std::int32_t value = -1;  // -1: nothing matched
    std::size_t size = 0;     // bytes
  };
  // A place inside the trie: what has been read so far.
  class Node {
   private:
    friend class ByteTrie;
    std::uint32_t base = 0;  // 0: no children
  };

  // `sorted` by key as unsigned bytes, without duplicates. Takes about 10 bytes a node, and a trie
  // has at most one node a byte of its keys. Nothing if it would need more than 2^24 nodes.
  static std::optional<ByteTrie> build(std::span<const Entry> sorted);

  Node root() const { return root_; }
  // The node that `prefix` leads to from the root; a node without children if there is none.
  Node after(std::string_view prefix) const;
  // The longest key that continues `from` and that `text` begins with; at least one byte.
  Match longest_match(Node from, std::string_view text) const {
    Match best;
    std::uint32_t base = from.base;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
    for (std::size_t i = 0; i < text.size(); ++i) {
      const Unit unit = units_[base ^ bytes[i]];
      if (unit.label != bytes[i]) break;
      if (unit.value >= 0) best = {unit.value, i + 1};
      base = unit.base;
    }
    return best;
  }
  // Calls found(value, size) for each key that `text` begins with, the shortest first.
  template <class Found>
  void each_match(std::string_view text, Found found) const {
    std::uint32_t base = root_.base;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
    for (std::size_t i = 0; i < text.size(); ++i) {
      const Unit unit = units_[base ^ bytes[i]];
      if (unit.label != bytes[i]) return;
      if (unit.value >= 0) found(unit.value, i + 1);
      base = unit.base;
    }
  }
  std::optional<std::int32_t> find(std::string_view key) const {
    const Match match = longest_match(root_, key);
    if (match.value < 0 || match.size != key.size()) return std::nullopt;
    return match.value;
  }

 private:
  friend class ByteTrieBuilder;
  // No two nodes share a base, so the label alone proves that a unit is the child looked for. Bases
  // below 256 belong to no node; base 0 there says "no children", and no label in that first block
  // fits it.
  struct Unit {
    std::uint32_t label : 8;
    std::uint32_t base : 24;
    std::int32_t value;
  };

  ByteTrie() = default;

  std::vector<Unit> units_;  // a multiple of 256
  Node root_;
};

}  // namespace sheaf::tokenizer
