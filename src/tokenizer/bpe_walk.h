#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/merge_table.h"

namespace sheaf::tokenizer {

// Byte pair encoding from left to right, in linear time and without carrying out a merge: three
// times as fast as merging on long pieces (Chinese, Thai), which no cache helps. bpe_test.cc holds
// it against merging.
//
// Why it is exact. Call a token sound if its own bytes encode to it alone; the merges that make it
// are then the same wherever it appears, since merges inside a stretch of text that no merge
// crosses do not depend on what stands outside. Call two tokens compatible if their bytes encode to
// just these two. Neighbours in an encoding are compatible, by the same argument; and tokens of
// which all neighbours are compatible are an encoding, for the first merge to cross a border would
// cross it in the encoding of the two tokens there as well. So the encoding of every prefix of the
// text is unique, and a walk that takes the longest compatible token and goes back when stuck finds
// it, never trying a border twice. (The idea: H. van Antwerpen and A. Neubeck, "So many tokens, so
// little time", GitHub blog, 2024.)
//
// Compatibility is decided by undoing the merges of both tokens from the last one on. That needs
// their ranks to rise with time; where a merge list lets a token merge at a lower rank than its
// parts have, there is no walk.
class BpeWalk {
 public:
  struct Merge {
    std::int32_t left, right, id;  // by rank
  };
  struct Token {
    std::int32_t id;
    std::uint32_t end;  // in bytes of the piece
  };
  // What a thread needs, kept between pieces.
  using Borders = std::vector<bool>;

  // `byte_ids` are the tokens of the bytes, none of them -1. `strings` are the bytes of each id,
  // empty where unknown; `table` holds `merges`. Nothing if these merges allow no walk.
  static std::optional<BpeWalk> build(const std::array<std::int32_t, 256>& byte_ids,
                                      const std::vector<Merge>& merges,
                                      const std::vector<std::string>& strings,
                                      const MergeTable& table);

  // Appends the tokens of `piece`.
  void tokenize(std::string_view piece, const MergeTable& table, Borders& borders,
                std::vector<Token>& tokens) const;

 private:
  // How a sound token is made. Others have no entry in trie_, so that the walk never meets them.
  struct alignas(16) Origin {
    std::uint32_t order = 0;  // one more than the rank of the merge; 0: a byte
    std::int32_t left = -1, right = -1;
    std::uint32_t size = 0;  // in bytes; 0: not sound
  };
  // The longest sound token that another one begins with, but for itself.
  struct Prefix {
    std::int32_t id = -1;  // -1: there is none
    std::uint32_t size = 0;
  };

  // Whether `left` and `right` stay apart until merges of rank `limit` take place.
  bool are_apart(std::int32_t left, std::int32_t right, std::uint32_t limit,
                 const MergeTable& table) const;
  bool find_origins(const std::vector<Merge>& merges, const MergeTable& table);

  std::vector<Origin> origins_;   // by id
  std::vector<Prefix> prefixes_;  // by id
  std::optional<ByteTrie> trie_;
};

}  // namespace sheaf::tokenizer
