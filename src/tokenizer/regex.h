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
  // Bounded: where the expression loses itself, the rest of the text has no match.
  void find_all(std::string_view text, std::vector<Piece>& matches) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace sheaf::tokenizer
