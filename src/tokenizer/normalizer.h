#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "tokenizer/aligned_text.h"
#include "tokenizer/json_field.h"
#include "tokenizer/text_buffer.h"

namespace sheaf::tokenizer {

// The first stage: rewrites well-formed UTF-8 text into well-formed UTF-8 text. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The hot path. `text` must not lie in `out`.
  virtual void normalize(std::string_view text, TextBuffer& out) const = 0;
  // The same text with its origins, for encode_tokens(); may be slow.
  virtual AlignedText normalize_aligned(const AlignedText& text) const = 0;
  // No text of `size` bytes, at least 1, becomes longer than this.
  virtual std::size_t size_max(std::size_t size) const = 0;

  // By its "type".
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);
};

// A few rules can make a text long beyond all bounds; those of real models stay far below this.
Status check_growth(const JsonField& field, const Normalizer& normalizer);

}  // namespace sheaf::tokenizer
