#pragma once

#include <cstdint>
#include <span>

// What Hugging Face's `tokenizers` believes about grapheme clusters (its crate follows Unicode 17);
// scripts/make_grapheme_tables.py asks the library itself.
namespace sheaf::tokenizer::unicode {

// The part that a code point plays in a cluster (Unicode standard annex 29). Regional indicators
// have no class of their own: see grapheme.h.
enum class GraphemeClass : std::uint8_t {
  other,
  carriage_return,
  line_feed,
  control,
  extend,      // joins what stands before it, as do the next four
  non_joiner,  // U+200C; breaks a conjunct
  joiner,      // U+200D; joins pictographs
  linker,      // joins consonants of Indic scripts
  spacing,
  prepend,  // joins what stands behind it
  pictograph,
  consonant,
  hangul_lead,
  hangul_vowel,
  hangul_tail,
  hangul_open,    // a syllable without tail
  hangul_closed,  // a syllable with one
};

struct GraphemeClassRange {
  std::uint32_t first, last;  // inclusive
  GraphemeClass grapheme_class;
};

// All but `other`, sorted.
std::span<const GraphemeClassRange> grapheme_class();

}  // namespace sheaf::tokenizer::unicode
