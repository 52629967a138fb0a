#include "tokenizer/replace.h"

#include <algorithm>
#include <cstring>

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Normalizer>> Replace::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField pattern_field, field.get("pattern"));
  SHEAF_ASSIGN(RunPattern pattern, RunPattern::parse(pattern_field));
  SHEAF_ASSIGN(const std::string_view content, field.string("content"));
  return std::unique_ptr<const Normalizer>(
      std::make_unique<Replace>(std::move(pattern), std::string(content)));
}

void Replace::normalize(std::string_view text, TextBuffer& buffer) const {
  char* const begin = buffer.reserve(size_max(text.size()));
  char* out = begin;
  const auto put = [&](std::string_view part) {
    std::memcpy(out, part.data(), part.size());
    out += part.size();
  };
  std::size_t done = 0;
  while (const std::optional<Piece> match = pattern_.find(text, done)) {
    put(text.substr(done, match->begin - done));
    put(content_);
    done = match->end;
  }
  put(text.substr(done));
  buffer.finish(out);
}

// As in Hugging Face, all of `content` comes from the last character of the match.
AlignedText Replace::normalize_aligned(const AlignedText& text) const {
  AlignedText result;
  std::size_t done = 0;
  while (const std::optional<Piece> match = pattern_.find(text.text, done)) {
    result.append(text, {done, match->begin});
    result.append(content_, text.origins[match->end - 1]);
    done = match->end;
  }
  result.append(text, {done, text.text.size()});
  return result;
}

std::size_t Replace::size_max(std::size_t size) const {
  const std::size_t matches = size / pattern_.size_min();
  return size + matches * std::max(content_.size(), pattern_.size_min()) -
         matches * pattern_.size_min();
}

}  // namespace sheaf::tokenizer
