#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/unicode_tables.h"

namespace sheaf::tokenizer::unicode {

using CodePoint = std::uint32_t;

constexpr CodePoint kCodePoints = 0x110000;

// Reads the code point at `text` and moves `text` behind it. Only for well-formed UTF-8.
inline CodePoint decode_utf8(const char*& text) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(text[i]); };
  const CodePoint lead = byte(0);
  if (lead < 0x80) {
    text += 1;
    return lead;
  }
  if (lead < 0xE0) {
    const CodePoint result = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    text += 2;
    return result;
  }
  if (lead < 0xF0) {
    const CodePoint result = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    text += 3;
    return result;
  }
  const CodePoint result =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  text += 4;
  return result;
}

// Writes `c` as UTF-8 to `out` (1 to 4 bytes) and returns the end.
char* encode_utf8(CodePoint c, char* out);
void append_utf8(CodePoint c, std::string& out);
std::size_t utf8_size(CodePoint c);

// Of well-formed text: whether it is a single code point.
bool is_one_character(std::string_view text);

bool contains(std::span<const CodePointRange> sorted, CodePoint c);
std::uint8_t combining_class_of(CodePoint c);

constexpr CodePoint kHangulFirst = 0xAC00;
constexpr CodePoint kHangulLast = 0xD7A3;

// Up to four code points, held in place.
struct ShortSequence {
  std::uint32_t size = 0;
  CodePoint code_points[4] = {};
  const CodePoint* begin() const { return code_points; }
  const CodePoint* end() const { return code_points + size; }
};

// Full canonical decomposition, `c` itself when it has none.
ShortSequence decompose(CodePoint c);
ShortSequence lower_case_of(CodePoint c);

// Index in `text` where the trailing white space begins, and length of the leading white space.
std::size_t trailing_space_start(std::string_view text);
std::size_t leading_space_size(std::string_view text);
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);

// The well-formed text that Python's bytes.decode(errors="replace") gives: each maximal subpart of
// a broken sequence becomes U+FFFD. If `offsets` is given it gets, for each byte of the result and
// for its end, where that came from in `text`.
std::string replace_invalid_utf8(std::string_view text,
                                 std::vector<std::size_t>* offsets = nullptr);

}  // namespace sheaf::tokenizer::unicode
