#pragma once

#include <array>

#include "tokenizer/code_point_map.h"
#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// Cuts at white space, which disappears, and around each punctuation character.
class BertPreTokenizer final : public PreTokenizer {
 public:
  BertPreTokenizer();
  Status split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  enum class Kind : std::uint8_t { word, space, punctuation };

  CodePointMap<Kind> kinds_;
  std::array<Kind, 128> ascii_kinds_ = {};
};

}  // namespace sheaf::tokenizer
