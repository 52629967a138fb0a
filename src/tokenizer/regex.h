#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// A regular expression of a tokenizer.json. Hugging Face runs these by Oniguruma, sheaf by PCRE2:
// what the two read differently is refused by name. Immutable.
class Regex {
 public:
  // `field` is the expression.
  static Result<Regex> parse(const JsonField& field);

  // Appends where it matches in well-formed `text`, from left to right; matches may be empty.
  // Bounded in steps, memory and processor time, which grow with the text in a straight line: where
  // the expression needs more it fails with invalid_argument, naming itself and the text's size.
  Status find_all(std::string_view text, std::vector<Piece>& matches) const;

 private:
  struct Compiled;
  class Search;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace sheaf::tokenizer
