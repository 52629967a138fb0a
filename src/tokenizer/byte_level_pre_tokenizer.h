#pragma once

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/word_scanner.h"

namespace sheaf::tokenizer {

// GPT-2's: cuts text as its regex does, and lets the model read bytes.
class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);

  Status split(std::string_view text, std::vector<Piece>& pieces) const override;
  Status apply(PreTokenized& text) const override;
  bool is_byte_level() const override { return true; }

 private:
  bool add_prefix_space_ = false;  // before a text, or piece, that begins with none
  bool cuts_ = true;               // false: only the alphabet counts
  const WordScanner scanner_{WordScanner::Kind::gpt2};
};

}  // namespace sheaf::tokenizer
