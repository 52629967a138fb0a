#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/byte_trie.h"
#include "tokenizer/json_field.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/piece.h"
#include "tokenizer/vocabulary.h"

namespace sheaf::tokenizer {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;
  bool single_word = false;  // matches only where no word character touches it
  bool lstrip = false;       // swallows the white space before it
  bool rstrip = false;       // and behind it
  bool normalized = false;   // is looked for, itself normalized, in the normalized text
  std::string shown;         // what decode() makes of it: the form that is looked for
  bool skipped = false;      // left out by decode(skip_special_tokens)
};

// A stretch of text that is an added token, or one without any.
struct Segment {
  Piece place;
  std::int32_t added_id = -1;  // -1: ordinary text
};

// Tokens that are found in the text before the model sees it, the longest at the leftmost place.
// Immutable.
class AddedTokens {
 public:
  AddedTokens() = default;
  // `field` is an array. A token that the vocabulary knows has the id it has there, whatever the
  // file says; any other gets the next id behind the vocabulary, as Hugging Face does. `normalizer`
  // may be null.
  static Result<AddedTokens> parse(const JsonField& field, const Vocabulary& vocabulary,
                                   const Normalizer* normalizer);

  // Appends the segments of text before normalization, looking for the tokens that are not
  // normalized.
  void split_raw(std::string_view text, std::vector<Segment>& segments) const {
    split(text, raw_, segments);
  }
  // The same for normalized text and the other tokens.
  void split_normalized(std::string_view text, std::vector<Segment>& segments) const {
    split(text, normalized_, segments);
  }

  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  std::size_t id_end() const;  // one more than the largest id, 0 if there are none

 private:
  // Looks for some of the tokens, at places that begin with one of their first bytes.
  class Finder {
   public:
    struct Match {
      std::size_t begin, end;
      const AddedToken* token;
    };
    bool build(const std::vector<AddedToken>& tokens, bool normalized);
    std::optional<Match> next(std::string_view text, std::size_t from,
                              const std::vector<AddedToken>& tokens) const;

   private:
    std::size_t next_candidate(std::string_view text, std::size_t from) const;

    std::optional<ByteTrie> trie_;  // from text to index; none if there are no tokens
    std::array<bool, 256> is_first_ = {};
    int only_first_ = -1;  // the first byte when all tokens share it
  };

  static Result<AddedToken> parse_token(const JsonField& field);
  Status check_twins(const JsonField& field) const;
  void split(std::string_view text, const Finder& finder, std::vector<Segment>& segments) const;

  std::vector<AddedToken> tokens_;  // by id
  Finder raw_;
  Finder normalized_;
};

}  // namespace sheaf::tokenizer
