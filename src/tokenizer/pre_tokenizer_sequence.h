#pragma once

#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// Several pre-tokenizers; each cuts the pieces that the one before it made.
class PreTokenizerSequence final : public PreTokenizer {
 public:
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);

  Status split(std::string_view text, std::vector<Piece>& pieces) const override;
  Status apply(PreTokenized& text) const override;
  bool is_byte_level() const override;
  bool needs_origins() const override;

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> parts_;
};

}  // namespace sheaf::tokenizer
