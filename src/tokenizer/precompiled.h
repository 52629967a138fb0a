#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/grapheme.h"
#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// SentencePiece's rules, applied as Hugging Face does: a grapheme cluster of less than six bytes
// that begins with the key of a rule becomes the rule's text, as a whole; else each character does
// by itself.
class Precompiled final : public Normalizer {
 public:
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override { return size * growth_max_; }

 private:
  struct Replacement {
    std::uint32_t offset = 0;  // in texts_
    std::uint8_t size = 0;
    bool exists = false;
    friend bool operator==(const Replacement&, const Replacement&) = default;
  };

  explicit Precompiled(const std::vector<CharsmapRule>& rules);
  Replacement add_text(std::string_view text);
  std::string_view text_of(const Replacement& replacement) const {
    return std::string_view(texts_).substr(replacement.offset, replacement.size);
  }

  // The replacement of a cluster as a whole, if there is one.
  std::optional<Replacement> find_whole(std::string_view cluster) const;
  char* write_character(const char*& p, char* out) const;
  char* write_cluster(const char*& p, const char* end, char* out) const;

  GraphemeScanner graphemes_;
  std::string texts_;
  CodePointMap<Replacement> characters_;
  std::vector<Replacement> sequences_;
  std::optional<ByteTrie> sequence_trie_;  // keys of several characters, to index in sequences_
  std::size_t growth_max_ = 1;             // bytes out for a byte in
  bool keeps_printable_ascii_ = true;
};

}  // namespace sheaf::tokenizer
