#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// Text after some steps, with the place in the text given to encode_tokens() that each of its bytes
// came from. All bytes of a character share one origin.
struct AlignedText {
  std::string text;
  std::vector<Piece> origins;  // one a byte of `text`

  AlignedText() = default;
  // Well-formed text before any step, which begins `offset` bytes into the whole.
  explicit AlignedText(std::string_view unchanged, std::size_t offset = 0);

  // Appends `c` as UTF-8, come from `origin`.
  void append(std::uint32_t c, Piece origin);
  void append(std::string_view added, Piece origin);
  // Appends the bytes `place` of `other`, origins and all.
  void append(const AlignedText& other, Piece place);
  AlignedText part(Piece place) const;
};

// One character of rewritten text as Hugging Face's alignment sees it. `change` 0: it takes the
// place of the next character; 1: it is added and shares the origin of the one before; -n: it takes
// the place of the next character, and n more behind that one disappear.
struct Edit {
  std::uint32_t c;
  int change;
};

// The text that `edits` make of `text`. Together they may not use up more characters than it has.
AlignedText apply_edits(std::span<const Edit> edits, const AlignedText& text);

}  // namespace sheaf::tokenizer
