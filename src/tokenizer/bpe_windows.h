#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_merger.h"
#include "tokenizer/bpe_walk.h"
#include "tokenizer/code_point_map.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/neighbour_filter.h"

namespace sheaf::tokenizer {

// Byte pair encoding of a text whose merges allow a walk, window by window, each by what is faster
// there: where characters have three bytes or four and tokens few characters (Chinese, Japanese),
// merging takes half the time of the walk, of which every byte is a step; elsewhere the walk does.
//
// The encodings of two windows that meet at a border are one encoding if the tokens at the border
// are compatible (bpe_walk.h). A window begins where a token of the one before it ended, some way
// before that one was cut off; if they do not fit, a token earlier; and where that happens too
// often the whole text is walked. So it stays exact, and linear in the text.
//
// No merge crosses the border of two characters that start as one symbol each and stand side by
// side in no token that merges make; there a window ends for good. Words of Chinese often do so.
//
// An object is what a thread needs, kept between texts.
class BpeWindows {
 public:
  struct Rules {
    const BpeWalk& walk;
    const MergeTable& merges;
    // What may be one symbol from the start, by code point; the others, -1, start as bytes.
    const CodePointMap<std::int32_t>& characters;
    const std::array<std::int32_t, 256>& byte_ids;
    const NeighbourFilter& neighbours;  // of the characters in what merges make
  };

  // Appends the tokens of well-formed `text` from `begin` on, where a character starts. Their ends
  // count from the start of the text.
  void tokenize(const Rules& rules, std::string_view text, std::size_t begin,
                std::vector<BpeSymbol>& tokens);

 private:
  // Of a window, and whether any text ends there or no merge crosses it.
  struct End {
    std::size_t at;
    bool is_border;
  };
  std::size_t tokenize_stretch(const Rules& rules, std::string_view text, std::size_t begin,
                               std::vector<BpeSymbol>& tokens);
  End fill(const Rules& rules, std::string_view text, std::size_t begin);
  End start(const Rules& rules, std::string_view text, std::size_t begin);

  std::vector<BpeSymbol> window_;
  BpeMerger merger_;
  BpeWalk::Borders borders_;
  bool is_dense_ = false;    // as the last sample was
  std::size_t sampled_ = 0;  // where the next one is due
};

}  // namespace sheaf::tokenizer
