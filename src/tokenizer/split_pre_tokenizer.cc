#include "tokenizer/split_pre_tokenizer.h"

namespace sheaf::tokenizer {

SplitPreTokenizer::SplitPreTokenizer(Pattern pattern, DelimiterBehavior behavior, bool invert)
    : pattern_(std::move(pattern)),
      behavior_(behavior),
      invert_(invert),
      keeps_words_(pattern_.scanner() != nullptr &&
                   (behavior == DelimiterBehavior::isolated ||
                    (behavior == DelimiterBehavior::removed && invert))) {}

Result<std::unique_ptr<const PreTokenizer>> SplitPreTokenizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField pattern_field, field.get("pattern"));
  SHEAF_ASSIGN(Pattern pattern, Pattern::parse(pattern_field));
  SHEAF_ASSIGN(const JsonField behavior_field, field.get("behavior"));
  SHEAF_ASSIGN(const DelimiterBehavior behavior, parse_delimiter_behavior(behavior_field));
  SHEAF_ASSIGN(const bool invert, field.boolean("invert"));
  return std::unique_ptr<const PreTokenizer>(
      new SplitPreTokenizer(std::move(pattern), behavior, invert));
}

Status SplitPreTokenizer::split(std::string_view text, std::vector<Piece>& pieces) const {
  if (keeps_words_) {
    pattern_.scanner()->split(text, pieces);
    return {};
  }
  std::vector<Stretch> stretches;
  SHEAF_TRY(pattern_.find(text, stretches));
  if (invert_) {
    for (Stretch& stretch : stretches) stretch.is_delimiter = !stretch.is_delimiter;
  }
  append_pieces(stretches, behavior_, pieces);
  return {};
}

}  // namespace sheaf::tokenizer
