#include "tokenizer/wordpiece_decoder.h"

#include <utility>

namespace sheaf::tokenizer {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (;;) {
    const std::size_t at = text.find(from);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += to;
    text.remove_prefix(at + from.size());
  }
}

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

std::string WordPieceDecoder::decode(const std::vector<std::string_view>& tokens) const {
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string token(tokens[i]);
    if (i > 0) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token.insert(0, 1, ' ');
      }
    }
    if (cleanup_) clean_up(token);
    text += token;
  }
  return text;
}

}  // namespace sheaf::tokenizer
