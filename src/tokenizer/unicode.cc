#include "tokenizer/unicode.h"

#include <algorithm>

#include "base/utf8.h"

namespace sheaf::tokenizer::unicode {
namespace {

// The range that `c` lies in, or null.
template <class Range>
const Range* find_range(std::span<const Range> sorted, CodePoint c) {
  const auto after =
      std::upper_bound(sorted.begin(), sorted.end(), c,
                       [](CodePoint value, const Range& r) { return value < r.first; });
  if (after == sorted.begin()) return nullptr;
  const Range& candidate = *(after - 1);
  return c <= candidate.last ? &candidate : nullptr;
}

ShortSequence mapped(std::span<const CodePointMapping> sorted, CodePoint c) {
  const auto found =
      std::lower_bound(sorted.begin(), sorted.end(), c,
                       [](const CodePointMapping& m, CodePoint v) { return m.from < v; });
  if (found == sorted.end() || found->from != c) return {1, {c}};
  ShortSequence result;
  while (result.size < 4 && found->to[result.size] != 0) {
    result.code_points[result.size] = found->to[result.size];
    ++result.size;
  }
  return result;
}

// Unicode 15, section 3.12.
ShortSequence decompose_hangul(CodePoint c) {
  constexpr CodePoint kLeadBase = 0x1100, kVowelBase = 0x1161, kTailBase = 0x11A7;
  constexpr CodePoint kVowels = 21, kTails = 28;
  const CodePoint index = c - kHangulFirst;
  const CodePoint tail = index % kTails;
  return {tail == 0 ? 2u : 3u,
          {kLeadBase + index / (kVowels * kTails), kVowelBase + index / kTails % kVowels,
           kTailBase + tail}};
}

// Start of the last character of non-empty well-formed text.
std::size_t last_character(std::string_view text) {
  std::size_t i = text.size() - 1;
  while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) --i;
  return i;
}

CodePoint character_at(std::string_view text, std::size_t i) {
  const char* p = text.data() + i;
  return decode_utf8(p);
}

// Length of the maximal subpart at the start of `text`, which is not well-formed there: the longest
// prefix that some well-formed sequence begins with, at least one byte.
std::size_t maximal_subpart(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continuation = [&](std::size_t i) {
    return i < text.size() && (byte(i) & 0xC0) == 0x80;
  };
  const unsigned char lead = byte(0);
  if (lead < 0xE0 || lead > 0xF4 || !continuation(1)) return 1;
  const unsigned char second = byte(1);
  const bool possible = !(lead == 0xE0 && second < 0xA0) && !(lead == 0xED && second > 0x9F) &&
                        !(lead == 0xF0 && second < 0x90) && !(lead == 0xF4 && second > 0x8F);
  if (!possible) return 1;
  return lead >= 0xF0 && continuation(2) ? 3 : 2;
}

}  // namespace

char* encode_utf8(CodePoint c, char* out) {
  if (c < 0x80) {
    *out++ = static_cast<char>(c);
  } else if (c < 0x800) {
    *out++ = static_cast<char>(0xC0 | c >> 6);
    *out++ = static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    *out++ = static_cast<char>(0xE0 | c >> 12);
    *out++ = static_cast<char>(0x80 | (c >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (c & 0x3F));
  } else {
    *out++ = static_cast<char>(0xF0 | c >> 18);
    *out++ = static_cast<char>(0x80 | (c >> 12 & 0x3F));
    *out++ = static_cast<char>(0x80 | (c >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (c & 0x3F));
  }
  return out;
}

void append_utf8(CodePoint c, std::string& out) {
  char buffer[4];
  out.append(buffer, encode_utf8(c, buffer));
}

std::size_t utf8_size(CodePoint c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

bool is_one_character(std::string_view text) {
  if (text.empty()) return false;
  const char* end = text.data();
  decode_utf8(end);
  return end == text.data() + text.size();
}

bool contains(std::span<const CodePointRange> sorted, CodePoint c) {
  return find_range(sorted, c) != nullptr;
}

std::uint8_t combining_class_of(CodePoint c) {
  const CombiningClassRange* range = find_range(combining_class(), c);
  return range != nullptr ? range->combining_class : 0;
}

ShortSequence decompose(CodePoint c) {
  if (c >= kHangulFirst && c <= kHangulLast) return decompose_hangul(c);
  return mapped(decomposition(), c);
}

ShortSequence lower_case_of(CodePoint c) { return mapped(lower_case(), c); }

std::size_t trailing_space_start(std::string_view text) {
  while (!text.empty()) {
    const std::size_t i = last_character(text);
    if (!contains(white_space(), character_at(text, i))) break;
    text = text.substr(0, i);
  }
  return text.size();
}

std::size_t leading_space_size(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    const char* next = p;
    if (!contains(white_space(), decode_utf8(next))) break;
    p = next;
  }
  return static_cast<std::size_t>(p - text.data());
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && contains(word(), character_at(text, 0));
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && contains(word(), character_at(text, last_character(text)));
}

std::string replace_invalid_utf8(std::string_view text, std::vector<std::size_t>* offsets) {
  std::string out;
  out.reserve(text.size() + 64);
  const auto record = [&](std::size_t from, std::size_t bytes, bool advance) {
    for (std::size_t i = 0; offsets != nullptr && i < bytes; ++i) {
      offsets->push_back(from + (advance ? i : 0));
    }
  };
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t valid = std::min(find_invalid_utf8(text.substr(at)), text.size() - at);
    out.append(text, at, valid);
    record(at, valid, true);
    at += valid;
    if (at == text.size()) break;
    out += "\xEF\xBF\xBD";
    record(at, 3, false);
    at += maximal_subpart(text.substr(at));
  }
  record(text.size(), 1, true);
  return out;
}

}  // namespace sheaf::tokenizer::unicode
