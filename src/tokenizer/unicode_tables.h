#pragma once

#include <cstdint>
#include <span>

// What Hugging Face's `tokenizers` believes about each code point. Its Rust crates freeze different
// Unicode versions, so neither ICU nor any one version agrees; scripts/make_unicode_tables.py asks
// the library itself. All tables are sorted by code point and live in read-only data.
namespace sheaf::tokenizer::unicode {

struct CodePointRange {
  std::uint32_t first, last;  // inclusive
};

struct CombiningClassRange {
  std::uint32_t first, last;
  std::uint8_t combining_class;  // never 0
};

struct CodePointMapping {
  std::uint32_t from;
  std::uint32_t to[4];  // ended by 0 when shorter
};

struct Composition {
  std::uint32_t first, second, composed;
};

struct LongMapping {
  std::uint32_t from;
  std::uint16_t offset, size;  // in the code points that go with the table
};

struct CodePointStandIn {
  std::uint32_t first, last;
  std::uint32_t by;
};

std::span<const CodePointRange>
other();  // removed by BertNormalizer's clean_text, U+0000 and U+FFFD too
std::span<const CodePointRange> white_space();
std::span<const CodePointRange> punctuation();  // as BertPreTokenizer sees it
std::span<const CodePointRange> nonspacing_mark();
std::span<const CodePointRange> word();     // \w of added tokens' single_word
std::span<const CodePointRange> chinese();  // spaced out by BertNormalizer's handle_chinese_chars
std::span<const CombiningClassRange> combining_class();
// Full canonical decompositions, but for Hangul syllables (unicode.h).
std::span<const CodePointMapping> decomposition();
std::span<const CodePointMapping> lower_case();
std::span<const CodePointRange> letter();          // \p{L} of regular expressions
std::span<const CodePointRange> number();          // \p{N} of regular expressions
std::span<const CodePointRange> numeric();         // what the pre-tokenizer Digits sees
std::span<const CodePointRange> combining_mark();  // removed by the normalizer StripAccents
// What NFC composes, by `first` and `second`, but for Hangul.
std::span<const Composition> composition();
// Full compatibility decompositions that are not the canonical ones; their text is in the second.
std::span<const LongMapping> compatibility();
std::span<const std::uint32_t> compatibility_text();
// Characters of Unicode 15 and later, and an older one of the same category and size to match
// expressions on (regex.cc).
std::span<const CodePointStandIn> stand_in();

}  // namespace sheaf::tokenizer::unicode
