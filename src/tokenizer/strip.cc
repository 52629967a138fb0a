#include "tokenizer/strip.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Normalizer>> Strip::parse(const JsonField& field) {
  SHEAF_ASSIGN(const bool left, field.boolean("strip_left"));
  SHEAF_ASSIGN(const bool right, field.boolean("strip_right"));
  return std::unique_ptr<const Normalizer>(std::make_unique<Strip>(left, right));
}

Piece Strip::kept(std::string_view text) const {
  const std::size_t begin = left_ ? unicode::leading_space_size(text) : 0;
  const std::size_t end = right_ ? unicode::trailing_space_start(text) : text.size();
  return {begin, std::max(begin, end)};
}

void Strip::normalize(std::string_view text, TextBuffer& buffer) const {
  const std::string_view rest = kept(text).of(text);
  buffer.finish(std::copy(rest.begin(), rest.end(), buffer.reserve(rest.size())));
}

AlignedText Strip::normalize_aligned(const AlignedText& text) const {
  return text.part(kept(text.text));
}

}  // namespace sheaf::tokenizer
