#pragma once

#include <array>
#include <optional>

#include "tokenizer/bpe_walk.h"
#include "tokenizer/bpe_windows.h"
#include "tokenizer/byte_trie.h"
#include "tokenizer/character_pairs.h"
#include "tokenizer/code_point_map.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/model.h"

namespace sheaf::tokenizer {

// Byte pair encoding: a piece starts as one symbol a character (a byte, if the vocabulary is in the
// byte-level alphabet); then, again and again, the pair of neighbours whose merge stands first in
// the list merges, the leftmost of several.
class Bpe final : public Model {
 public:
  static Result<std::unique_ptr<const Model>> parse(const JsonField& field, Alphabet alphabet);

  void encode(std::string_view text, std::span<const Piece> pieces,
              std::vector<std::int32_t>& ids) const override;
  void encode_placed(std::string_view text, std::span<const Piece> pieces,
                     std::vector<PlacedId>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Options {
    std::optional<std::int32_t> unknown_id;  // none: unknown characters vanish
    bool fuse_unknown = false;               // neighbouring unknown characters are one token
    bool byte_fallback = false;              // unknown characters become tokens <0x00> to <0xFF>
    bool ignore_merges = false;              // a piece that is a token stays whole
  };
  using Symbol = BpeSymbol;
  struct Workspace;
  class Cache;

  Bpe(Vocabulary vocabulary, Alphabet alphabet, MergeTable merges);

  static Result<Options> parse_options(const JsonField& field, const Vocabulary& vocabulary);
  static Result<std::vector<BpeWalk::Merge>> parse_merges(const JsonField& field,
                                                          const Vocabulary& vocabulary);
  Status set_bytes(const JsonField& field);
  void set_characters();
  void set_walk(const std::vector<BpeWalk::Merge>& merges);
  bool merges_keep_words(const std::vector<BpeWalk::Merge>& merges) const;
  std::optional<std::vector<std::int32_t>> atoms(const std::vector<BpeWalk::Merge>& merges) const;

  void encode_piece(std::string_view piece, Workspace& workspace, Cache& cache,
                    std::vector<std::int32_t>& ids) const;
  // Leaves the tokens of `piece` in workspace.symbols.
  void tokenize(std::string_view piece, Workspace& workspace) const;
  void start_from_bytes(std::string_view piece, Workspace& workspace) const;
  void start_from_characters(std::string_view piece, Workspace& workspace) const;
  bool fall_back(std::string_view character, Workspace& workspace) const;
  BpeWindows::Rules rules() const {
    return {*walk_, merges_, characters_, byte_ids_, *pairs_, alphabet_ == Alphabet::bytes};
  }

  Vocabulary vocabulary_;
  Alphabet alphabet_;
  Options options_;
  MergeTable merges_;
  // By byte, -1 where the vocabulary has none: the token of the byte itself in the byte-level
  // alphabet, else <0x00> to <0xFF>.
  std::array<std::int32_t, 256> byte_ids_ = {};
  // By code point, what it may start as: its token or, with bytes, that of a closed character
  // (closed_characters.h) or of ASCII, where there is a walk. -1: none.
  CodePointMap<std::int32_t> characters_{-1};
  std::optional<BpeWalk> walk_;           // nothing: pieces are merged
  std::optional<CharacterPairs> pairs_;   // of characters_, where there is a walk
  bool cuts_words_ = false;               // pieces are encoded word by word
  std::optional<ByteTrie> whole_pieces_;  // with ignore_merges: from bytes to ids
  std::uint64_t serial_;                  // tells the models of a process apart, for Cache
};

}  // namespace sheaf::tokenizer
