#include "tokenizer/replace_decoder.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Decoder>> ReplaceDecoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField pattern_field, field.get("pattern"));
  SHEAF_ASSIGN(RunPattern pattern, RunPattern::parse(pattern_field));
  SHEAF_ASSIGN(const std::string_view content, field.string("content"));
  return std::unique_ptr<const Decoder>(
      std::make_unique<ReplaceDecoder>(std::move(pattern), std::string(content)));
}

void ReplaceDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::string& token : tokens) {
    std::string result;
    std::size_t done = 0;
    while (const std::optional<Piece> match = pattern_.find(token, done)) {
      result.append(token, done, match->begin - done);
      result += content_;
      done = match->end;
    }
    if (done > 0) token = result.append(token, done);
  }
}

}  // namespace sheaf::tokenizer
