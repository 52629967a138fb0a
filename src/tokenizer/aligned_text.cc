#include "tokenizer/aligned_text.h"

#include <cassert>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

AlignedText::AlignedText(std::string_view unchanged, std::size_t offset) : text(unchanged) {
  origins.reserve(text.size());
  const char* const begin = text.data();
  for (const char* p = begin; p < begin + text.size();) {
    const auto start = static_cast<std::size_t>(p - begin);
    unicode::decode_utf8(p);
    const auto end = static_cast<std::size_t>(p - begin);
    origins.resize(end, {offset + start, offset + end});
  }
}

void AlignedText::append(std::uint32_t c, Piece origin) {
  unicode::append_utf8(c, text);
  origins.resize(text.size(), origin);
}

void AlignedText::append(std::string_view added, Piece origin) {
  text += added;
  origins.resize(text.size(), origin);
}

void AlignedText::append(const AlignedText& other, Piece place) {
  text += place.of(other.text);
  const auto begin = other.origins.begin();
  origins.insert(origins.end(), begin + static_cast<std::ptrdiff_t>(place.begin),
                 begin + static_cast<std::ptrdiff_t>(place.end));
}

AlignedText AlignedText::part(Piece place) const {
  AlignedText result;
  result.append(*this, place);
  return result;
}

AlignedText apply_edits(std::span<const Edit> edits, const AlignedText& text) {
  AlignedText result;
  result.text.reserve(text.text.size());
  result.origins.reserve(text.text.size());
  const char* const begin = text.text.data();
  const char* const end = begin + text.text.size();
  const char* next = begin;  // the first character not used up
  const auto skip = [&] {
    if (next < end) unicode::decode_utf8(next);
  };
  const auto origin_at = [&](const char* p) {
    return text.origins[static_cast<std::size_t>(p - begin)];
  };
  for (const Edit& edit : edits) {
    if (edit.change > 0) {
      assert(next > begin);
      result.append(edit.c, origin_at(next - 1));
      continue;
    }
    assert(next < end);
    result.append(edit.c, origin_at(next));
    for (int i = edit.change; i <= 0; ++i) skip();
  }
  return result;
}

}  // namespace sheaf::tokenizer
