#pragma once

#include "tokenizer/pattern.h"
#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// Cuts where a pattern matches or, if inverted, where it does not.
class SplitPreTokenizer final : public PreTokenizer {
 public:
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);

  Status split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  SplitPreTokenizer(Pattern pattern, DelimiterBehavior behavior, bool invert);

  Pattern pattern_;
  DelimiterBehavior behavior_;
  bool invert_;
  bool keeps_words_;  // the pieces are the words of pattern_.scanner()
};

}  // namespace sheaf::tokenizer
