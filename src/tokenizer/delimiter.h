#pragma once

#include <vector>

#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// A stretch of text that a pattern matched, or one between such.
struct Stretch {
  Piece place;
  bool is_delimiter = false;
};

// What becomes of the delimiters of "the-final--countdown":
enum class DelimiterBehavior {
  removed,               // the final countdown
  isolated,              // the - final - - countdown
  merged_with_previous,  // the- final- - countdown
  merged_with_next,      // the -final - -countdown
  contiguous,            // the - final -- countdown
};

// "Removed", "Isolated", ...
Result<DelimiterBehavior> parse_delimiter_behavior(const JsonField& field);

// Appends the pieces that `stretches`, which cover a text in order, make; none is empty.
void append_pieces(const std::vector<Stretch>& stretches, DelimiterBehavior behavior,
                   std::vector<Piece>& pieces);

}  // namespace sheaf::tokenizer
