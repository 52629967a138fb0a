#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"
#include "tokenizer/text_buffer.h"

namespace sheaf::tokenizer {

// Text after normalization, with the place in the text before it that each byte came from.
struct AlignedText {
  std::string text;
  std::vector<Piece> origins;  // one a byte of `text`

  // Appends `c` as UTF-8, come from `origin`.
  void append(std::uint32_t c, Piece origin);
};

// The first stage: rewrites well-formed UTF-8 text into well-formed UTF-8 text. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The hot path. `text` must not lie in `out`.
  virtual void normalize(std::string_view text, TextBuffer& out) const = 0;
  // The same text with its origins, for encode_tokens(); may be slow.
  virtual AlignedText normalize_aligned(std::string_view text) const = 0;

  // By its "type".
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
