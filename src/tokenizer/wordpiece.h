#pragma once

#include "tokenizer/model.h"

namespace sheaf::tokenizer {

// Greedy: the longest token that the word begins with, then the longest one that continues it
// (those carry a prefix, "##"), and so on. A word with no such way through it, or with more
// characters than the limit, becomes one unknown token.
class WordPiece final : public Model {
 public:
  static Result<std::unique_ptr<const Model>> parse(const JsonField& field);

  void encode(std::string_view text, std::span<const Piece> pieces,
              std::vector<std::int32_t>& ids) const override;
  void encode_placed(std::string_view text, std::span<const Piece> pieces,
                     std::vector<PlacedId>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  explicit WordPiece(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  bool is_too_long(std::string_view word) const;
  // Calls emit(id, begin, end) for each token of `word`. False if there is no way through it; what
  // was emitted before then is void.
  template <class Emit>
  bool match(std::string_view word, Emit emit) const;

  Vocabulary vocabulary_;
  ByteTrie::Node continuation_;  // in the trie, behind the prefix
  std::int32_t unknown_id_ = 0;
  std::size_t word_characters_max_ = 0;
};

}  // namespace sheaf::tokenizer
