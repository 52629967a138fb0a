#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_merger.h"
#include "tokenizer/byte_trie.h"
#include "tokenizer/merge_table.h"

namespace sheaf::tokenizer {

// Byte pair encoding from left to right, in linear time and without carrying out a merge: several
// times as fast as merging where tokens have many characters. bpe_test.cc holds it against merging.
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
  using Merge = MergeTable::Pair;
  using Token = BpeSymbol;
  // What a thread needs, kept between pieces.
  using Borders = std::vector<bool>;
  // How a sound token is made. Others have no entry in trie_, so that the walk never meets them.
  struct alignas(16) Origin {
    std::uint32_t order = 0;  // one more than the rank of the merge; 0: there from the start
    std::int32_t left = -1, right = -1;
    std::uint32_t size = 0;  // in bytes; 0: not sound
  };

  // `atoms` are the tokens that pieces start as, of a byte or a character each, none of them -1.
  // `strings` are the bytes of each id, empty where unknown; `table` holds `merges`. Nothing if
  // these merges allow no walk.
  static std::optional<BpeWalk> build(std::span<const std::int32_t> atoms,
                                      const std::vector<Merge>& merges,
                                      const std::vector<std::string>& strings,
                                      const MergeTable& table);

  // Appends the tokens of `text` from `begin` on, which must consist of atoms. Their ends count
  // from the start of the text.
  void tokenize(std::string_view text, std::size_t begin, const MergeTable& table, Borders& borders,
                std::vector<Token>& tokens) const;

  // Whether these sound tokens are compatible.
  bool are_compatible(std::int32_t left, std::int32_t right, const MergeTable& table) const {
    return are_apart(left, right, MergeTable::kNoRank, table);
  }
  const Origin& origin(std::int32_t id) const { return origins_[static_cast<std::size_t>(id)]; }

 private:
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
