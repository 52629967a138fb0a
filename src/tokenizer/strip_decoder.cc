#include "tokenizer/strip_decoder.h"

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Decoder>> StripDecoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField content_field, field.get("content"));
  SHEAF_ASSIGN(const std::string_view content, content_field.string());
  if (!unicode::is_one_character(content))
    return content_field.error("must be one character, is " + in_quotes(content));
  SHEAF_ASSIGN(const JsonField start_field, field.get("start"));
  SHEAF_ASSIGN(const std::uint64_t start, start_field.size());
  SHEAF_ASSIGN(const JsonField stop_field, field.get("stop"));
  SHEAF_ASSIGN(const std::uint64_t stop, stop_field.size());
  return std::unique_ptr<const Decoder>(
      std::make_unique<StripDecoder>(std::string(content), start, stop));
}

void StripDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (std::size_t i = 0; i < start_ && rest.starts_with(content_); ++i)
      rest.remove_prefix(content_.size());
    for (std::size_t i = 0; i < stop_ && rest.ends_with(content_); ++i)
      rest.remove_suffix(content_.size());
    token = std::string(rest);
  }
}

}  // namespace sheaf::tokenizer
