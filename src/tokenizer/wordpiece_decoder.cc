#include "tokenizer/wordpiece_decoder.h"

#include <utility>

#include "tokenizer/replace_all.h"

namespace sheaf::tokenizer {
namespace {

// One token at a time and in this order, as Hugging Face does (so " ' " never spans two tokens).
void clean_up(std::string& token) {
  static constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  if (token.find(' ') == std::string::npos) return;
  for (const auto& [from, to] : kReplacements) token = replace_all(token, from, to);
}

}  // namespace

Result<std::unique_ptr<const Decoder>> WordPieceDecoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view prefix, field.string("prefix"));
  SHEAF_ASSIGN(const bool cleanup, field.boolean("cleanup"));
  return std::unique_ptr<const Decoder>(
      std::make_unique<WordPieceDecoder>(std::string(prefix), cleanup));
}

void WordPieceDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string& token = tokens[i];
    if (i > 0) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token.insert(0, 1, ' ');
      }
    }
    if (cleanup_) clean_up(token);
  }
}

}  // namespace sheaf::tokenizer
