#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_lanes.h"
#include "tokenizer/bpe_merger.h"
#include "tokenizer/bpe_walk.h"
#include "tokenizer/character_pairs.h"
#include "tokenizer/code_point_map.h"
#include "tokenizer/merge_table.h"

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
// Most dense text needs no windows: no merge crosses the border of some characters, of every fifth
// or so in Chinese, and of the merges between such borders most are known from the characters
// around them (character_pairs.h). Only a stretch without a border that is too long for that, or
// has characters that start as bytes, goes window by window.
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
    const CharacterPairs& pairs;  // of `characters`
    // Whether those bytes may merge. If not they are tokens, and borders that no merge crosses.
    bool bytes_merge;
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
  void sample(std::string_view text, std::size_t at);
  std::size_t tokenize_batch(const Rules& rules, std::string_view text, std::size_t begin,
                             std::vector<BpeSymbol>& tokens);
  bool read_batch(const Rules& rules, std::string_view text, std::size_t begin);
  void merge_certain(const Rules& rules, std::size_t count);
  void merge_rest(const Rules& rules, std::vector<BpeSymbol>& tokens);
  void merge_run(const Rules& rules, std::size_t begin, std::size_t end,
                 std::vector<BpeSymbol>& tokens);
  std::size_t tokenize_stretch(const Rules& rules, std::string_view text, std::size_t begin,
                               std::vector<BpeSymbol>& tokens);
  End fill(const Rules& rules, std::string_view text, std::size_t begin);
  End start(const Rules& rules, std::string_view text, std::size_t begin);

  // Characters, or what they have merged into, up to the last border that is found among them.
  static constexpr std::size_t kBatchMax = 128;
  struct Batch {
    std::size_t count = 0;
    std::array<BpeSymbol, kBatchMax + 1> symbols = {};
    // Of each symbol with the one before it, for CharacterPairs::at(), and of the last one with
    // what follows.
    std::array<std::uint32_t, kBatchMax + 2> pairs = {};
    std::size_t stretches = 0;
    std::array<std::uint32_t, kBatchMax + 1> stretch_ends = {};  // as indices of symbols
  };

  Batch batch_;
  std::vector<BpeSymbol> window_;
  BpeMerger merger_;
  BpeLanes lanes_;
  BpeWalk::Borders borders_;
  bool is_dense_ = false;    // as the last sample was
  std::size_t sampled_ = 0;  // where the next one is due
};

}  // namespace sheaf::tokenizer
