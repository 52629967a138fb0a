#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

// A set of pairs of characters: those that stand side by side in some text. One bit a hash, so that
// it takes an eighth of the pairs that it does not contain for some that it does.
class NeighbourFilter {
 public:
  NeighbourFilter() : NeighbourFilter(0) {}
  // For about so many pairs.
  explicit NeighbourFilter(std::size_t pairs);

  // Of `text`, which may begin and end inside a character.
  void add(std::string_view text);

  bool may_contain(unicode::CodePoint first, unicode::CodePoint second) const {
    const std::uint64_t bit = bit_of(first, second);
    return (words_[bit / 64] >> bit % 64 & 1) != 0;
  }

 private:
  std::uint64_t bit_of(unicode::CodePoint first, unicode::CodePoint second) const {
    const std::uint64_t key = std::uint64_t{first} << 32 | second;
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15 >> shift_;
  }

  std::vector<std::uint64_t> words_;  // a power of two of them
  int shift_;
};

}  // namespace sheaf::tokenizer
