#include "tokenizer/character_pre_tokenizer.h"

namespace sheaf::tokenizer {

CharacterPreTokenizer::CharacterPreTokenizer(std::span<const unicode::CodePointRange> delimiters,
                                             DelimiterBehavior behavior)
    : is_delimiter_(false), behavior_(behavior) {
  is_delimiter_.set(delimiters, true);
}

Result<std::unique_ptr<const PreTokenizer>> CharacterPreTokenizer::parse_digits(
    const JsonField& field) {
  SHEAF_ASSIGN(const bool individual, field.boolean("individual_digits"));
  return std::unique_ptr<const PreTokenizer>(
      new CharacterPreTokenizer(unicode::numeric(), individual ? DelimiterBehavior::isolated
                                                               : DelimiterBehavior::contiguous));
}

Result<std::unique_ptr<const PreTokenizer>> CharacterPreTokenizer::parse_punctuation(
    const JsonField& field) {
  SHEAF_ASSIGN(const std::optional<JsonField> behavior_field, field.find("behavior"));
  DelimiterBehavior behavior = DelimiterBehavior::isolated;
  if (behavior_field) {
    SHEAF_ASSIGN(behavior, parse_delimiter_behavior(*behavior_field));
  }
  return std::unique_ptr<const PreTokenizer>(
      new CharacterPreTokenizer(unicode::punctuation(), behavior));
}

Status CharacterPreTokenizer::split(std::string_view text, std::vector<Piece>& pieces) const {
  std::vector<Stretch> stretches;
  std::size_t done = 0;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const auto at = static_cast<std::size_t>(p - text.data());
    if (!is_delimiter_[unicode::decode_utf8(p)]) continue;
    if (done < at) stretches.push_back({{done, at}, false});
    done = static_cast<std::size_t>(p - text.data());
    stretches.push_back({{at, done}, true});
  }
  if (done < text.size()) stretches.push_back({{done, text.size()}, false});
  append_pieces(stretches, behavior_, pieces);
  return {};
}

}  // namespace sheaf::tokenizer
