#pragma once

#include <cstddef>
#include <string_view>

namespace sheaf::tokenizer {

// The bytes [begin, end) of some text.
struct Piece {
  std::size_t begin = 0;
  std::size_t end = 0;

  std::size_t size() const { return end - begin; }
  std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
  friend bool operator==(const Piece&, const Piece&) = default;
};

}  // namespace sheaf::tokenizer
