#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/aligned_text.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"
#include "tokenizer/text_buffer.h"

namespace sheaf::tokenizer {

// The second stage: cuts normalized text into the pieces that the model sees one by one. Some
// rewrite the text on the way. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // The hot path. Replaces `pieces` of `text` by what they are cut into: in order, none empty.
  // Returns the text that they now lie in: `text` itself, or what was written to `buffer`, in which
  // `text` must not lie.
  virtual std::string_view split(std::string_view text, std::vector<Piece>& pieces,
                                 TextBuffer& buffer) const = 0;
  // The same pieces of text with origins, for encode_tokens(); may be slow. As it stands here, for
  // those that leave the text as it is.
  virtual void split_aligned(AlignedText& text, std::vector<Piece>& pieces) const;
  // Whether the pieces depend on where the text came from, so that only split_aligned() can tell.
  virtual bool needs_origins() const { return false; }

  // By its "type".
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
