#pragma once

#include "tokenizer/code_point_map.h"
#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// Cuts at white space, which disappears.
class WhiteSpaceSplit final : public PreTokenizer {
 public:
  WhiteSpaceSplit();
  Status split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  CodePointMap<bool> is_space_;
};

}  // namespace sheaf::tokenizer
