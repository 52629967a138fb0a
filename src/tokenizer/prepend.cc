#include "tokenizer/prepend.h"

#include <algorithm>

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Normalizer>> Prepend::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField prefix_field, field.get("prepend"));
  SHEAF_ASSIGN(const std::string_view prefix, prefix_field.string());
  // Hugging Face would place the first character nowhere.
  if (prefix.empty()) return prefix_field.error("is empty");
  return std::unique_ptr<const Normalizer>(std::make_unique<Prepend>(std::string(prefix)));
}

void Prepend::normalize(std::string_view text, TextBuffer& buffer) const {
  char* out = buffer.reserve(size_max(text.size()));
  if (!text.empty()) out = std::copy(prefix_.begin(), prefix_.end(), out);
  buffer.finish(std::copy(text.begin(), text.end(), out));
}

AlignedText Prepend::normalize_aligned(const AlignedText& text) const {
  if (text.text.empty()) return text;
  AlignedText result;
  result.append(prefix_, text.origins.front());
  result.append(text, {0, text.text.size()});
  return result;
}

}  // namespace sheaf::tokenizer
