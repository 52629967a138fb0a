#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/delimiter.h"
#include "tokenizer/json_field.h"
#include "tokenizer/regex.h"
#include "tokenizer/word_scanner.h"

namespace sheaf::tokenizer {

// What Split looks for: {"String": TEXT} or {"Regex": EXPRESSION}. Immutable.
class Pattern {
 public:
  static Result<Pattern> parse(const JsonField& field);

  // Appends stretches that cover well-formed `text`; the matches are delimiters.
  // Fails where an expression does (regex.h).
  Status find(std::string_view text, std::vector<Stretch>& stretches) const;
  // The text looked for, if it is one.
  const std::string* text() const { return std::get_if<std::string>(&what_); }
  // The scanner that does the work of the expression, if there is one: all of a text is matches.
  const WordScanner* scanner() const { return std::get_if<WordScanner>(&what_); }

 private:
  using What = std::variant<std::string, WordScanner, Regex>;
  explicit Pattern(What what) : what_(std::move(what)) {}

  Status find_matches(std::string_view text, std::vector<Piece>& matches) const;

  What what_;
};

}  // namespace sheaf::tokenizer
