#include "tokenizer/strip_accents.h"

namespace sheaf::tokenizer {

StripAccents::StripAccents() : is_mark_(false) { is_mark_.set(unicode::combining_mark(), true); }

void StripAccents::normalize(std::string_view text, TextBuffer& buffer) const {
  char* out = buffer.reserve(text.size());
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const unicode::CodePoint c = unicode::decode_utf8(p);
    if (!is_mark_[c]) out = unicode::encode_utf8(c, out);
  }
  buffer.finish(out);
}

AlignedText StripAccents::normalize_aligned(const AlignedText& text) const {
  AlignedText result;
  const char* const begin = text.text.data();
  for (const char* p = begin; p < begin + text.text.size();) {
    const Piece origin = text.origins[static_cast<std::size_t>(p - begin)];
    const unicode::CodePoint c = unicode::decode_utf8(p);
    if (!is_mark_[c]) result.append(c, origin);
  }
  return result;
}

}  // namespace sheaf::tokenizer
