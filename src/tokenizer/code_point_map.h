#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

// A value for every code point, in two stages: blocks of 128 code points that are alike throughout
// share one block. Built once, then read without branches.
template <class T>
class CodePointMap {
 public:
  explicit CodePointMap(T everywhere) : block_of_(unicode::kCodePoints / kBlock, 0) {
    append_uniform(everywhere);
  }

  T operator[](unicode::CodePoint c) const {
    return values_[std::size_t{block_of_[c / kBlock]} * kBlock + c % kBlock];
  }

  void set(unicode::CodePoint c, T value) { values_[own_block(c / kBlock) + c % kBlock] = value; }

  void set(unicode::CodePoint first, unicode::CodePoint last, T value) {
    while (first <= last) {
      if (first % kBlock == 0 && last - first >= kBlock - 1) {
        block_of_[first / kBlock] = uniform(value);
        first += kBlock;
      } else {
        set(first++, value);
      }
    }
  }

  void set(std::span<const unicode::CodePointRange> ranges, T value) {
    for (const auto& range : ranges) set(range.first, range.last, value);
  }

 private:
  static constexpr std::size_t kBlock = 128;

  std::uint16_t append_uniform(T value) {
    const auto block = static_cast<std::uint16_t>(values_.size() / kBlock);
    values_.resize(values_.size() + kBlock, value);
    uniform_.push_back({value, block});
    return block;
  }

  std::uint16_t uniform(T value) {
    for (const Uniform& u : uniform_) {
      if (u.value == value) return u.block;
    }
    return append_uniform(value);
  }

  // Offset of the values of a block that may be changed.
  std::size_t own_block(std::size_t block) {
    for (const Uniform& u : uniform_) {
      if (u.block != block_of_[block]) continue;
      block_of_[block] = static_cast<std::uint16_t>(values_.size() / kBlock);
      values_.insert(values_.end(), kBlock, u.value);
      break;
    }
    return std::size_t{block_of_[block]} * kBlock;
  }

  struct Uniform {
    T value;
    std::uint16_t block;
  };
  std::vector<std::uint16_t> block_of_;  // by code point / kBlock
  std::vector<T> values_;
  std::vector<Uniform> uniform_;  // shared blocks, one a value, few
};

}  // namespace sheaf::tokenizer
