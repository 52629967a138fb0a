#pragma once

#include "tokenizer/code_point_map.h"
#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// "Whitespace": the matches of \w+|[^\w\s]+, that is runs of word characters and runs of whatever
// is neither that nor white space.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  WhitespacePreTokenizer();
  Status split(std::string_view text, std::vector<Piece>& pieces) const override;

 private:
  enum class Kind : std::uint8_t { other, word, space };
  CodePointMap<Kind> kinds_;
};

}  // namespace sheaf::tokenizer
