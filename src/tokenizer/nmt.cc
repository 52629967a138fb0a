#include "tokenizer/nmt.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

// Hugging Face's list, in which 0x8F and 0x9F stand for ranges that were meant.
bool is_dropped(CodePoint c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         c == 0x8F || c == 0x9F;
}

bool is_spaced(CodePoint c) {
  switch (c) {
    case 0x09:
    case 0x0A:
    case 0x0C:
    case 0x0D:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x2581:
    case 0xFEFF:
    case 0xFFFD:
      return true;
    default:
      return c >= 0x200B && c <= 0x200F;
  }
}

// Calls put(from, to) for each character that stays: where it begins, and what it becomes.
template <class Put>
void rewrite(std::string_view text, Put put) {
  static constexpr std::string_view kSpace = " ";
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const char* const begin = p;
    const CodePoint c = unicode::decode_utf8(p);
    if (is_dropped(c)) continue;
    const std::string_view same(begin, static_cast<std::size_t>(p - begin));
    put(begin, is_spaced(c) ? kSpace : same);
  }
}

}  // namespace

void Nmt::normalize(std::string_view text, TextBuffer& buffer) const {
  char* out = buffer.reserve(text.size());
  rewrite(text,
          [&](const char*, std::string_view to) { out = std::copy(to.begin(), to.end(), out); });
  buffer.finish(out);
}

AlignedText Nmt::normalize_aligned(const AlignedText& text) const {
  AlignedText result;
  rewrite(text.text, [&](const char* from, std::string_view to) {
    result.append(to, text.origins[static_cast<std::size_t>(from - text.text.data())]);
  });
  return result;
}

}  // namespace sheaf::tokenizer
