#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// What the Replace steps look for: a string, or a run of at least `count` of them, as the regexes
// of SentencePiece-like files do (" {2,}", " +"), or runs of white space and single line ends and
// tabs, as transformers 5 writes it ("\s{2,}|[\n\r\t]"). Not a Pattern: how much longer a
// replacement makes a text must be known beforehand (Normalizer::size_max), and a run cannot fail
// in any text.
class RunPattern {
 public:
  // {"String": TEXT} or {"Regex": REGEX}, REGEX being one character with "+" or "{N,}" behind it,
  // or that of transformers 5.
  static Result<RunPattern> parse(const JsonField& field);

  // The first match in text[from, end), the longest there.
  std::optional<Piece> find(std::string_view text, std::size_t from) const;
  // Bytes of the shortest match, at least 1.
  std::size_t size_min() const { return white_ ? 1 : unit_.size() * count_; }

 private:
  bool white_ = false;     // runs of white space; else
  std::string unit_;       // not empty
  std::size_t count_ = 1;  // at least 1
  bool greedy_ = false;    // takes more than `count_` where there are more
};

}  // namespace sheaf::tokenizer
