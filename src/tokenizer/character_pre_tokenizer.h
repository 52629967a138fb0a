#pragma once

#include <span>

#include "tokenizer/code_point_map.h"
#include "tokenizer/delimiter.h"
#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// Cuts at the characters of some kind: Digits, Punctuation.
class CharacterPreTokenizer final : public PreTokenizer {
 public:
  static Result<std::unique_ptr<const PreTokenizer>> parse_digits(const JsonField& field);
  static Result<std::unique_ptr<const PreTokenizer>> parse_punctuation(const JsonField& field);

  Status split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  CharacterPreTokenizer(std::span<const unicode::CodePointRange> delimiters,
                        DelimiterBehavior behavior);

  CodePointMap<bool> is_delimiter_;
  DelimiterBehavior behavior_;
};

}  // namespace sheaf::tokenizer
