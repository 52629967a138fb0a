#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"

namespace sheaf::tokenizer {

// "Where the text has `key`, write `text`."
struct CharsmapRule {
  std::string key;   // one to five bytes, whole characters
  std::string text;  // at most 255 bytes; may be empty
};

// Reads the rules out of SentencePiece's precompiled_charsmap: base64 of the size of a double array
// (Darts-clone's layout, 32-bit little-endian units), the array, and texts ended by NUL that its
// values point to. Only the rules that can ever apply: Hugging Face looks for the shortest key that
// a character, or a cluster of less than six bytes, begins with. Bounded in time and memory by the
// size of the field, whatever it holds.
Result<std::vector<CharsmapRule>> parse_charsmap(const JsonField& field);

}  // namespace sheaf::tokenizer
