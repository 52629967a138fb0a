#include "tokenizer/lowercase.h"

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

// Two bytes become three (U+0130, U+023A).
constexpr std::size_t kLowercaseGrowthMax = 2;

}  // namespace

void Lowercase::normalize(std::string_view text, TextBuffer& buffer) const {
  char* out = buffer.reserve(size_max(text.size()));
  for (const char* p = text.data(); p < text.data() + text.size();) {
    if (static_cast<unsigned char>(*p) < 0x80) {
      const char c = *p++;
      *out++ = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
      continue;
    }
    for (const unicode::CodePoint c : unicode::lower_case_of(unicode::decode_utf8(p)))
      out = unicode::encode_utf8(c, out);
  }
  buffer.finish(out);
}

AlignedText Lowercase::normalize_aligned(const AlignedText& text) const {
  AlignedText result;
  const char* const begin = text.text.data();
  for (const char* p = begin; p < begin + text.text.size();) {
    const Piece origin = text.origins[static_cast<std::size_t>(p - begin)];
    for (const unicode::CodePoint c : unicode::lower_case_of(unicode::decode_utf8(p)))
      result.append(c, origin);
  }
  return result;
}

std::size_t Lowercase::size_max(std::size_t size) const { return size * kLowercaseGrowthMax; }

}  // namespace sheaf::tokenizer
