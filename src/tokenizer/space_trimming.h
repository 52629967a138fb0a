#pragma once

#include <string_view>
#include <vector>

#include "tokenizer/post_processor.h"
#include "tokenizer/tokenizer.h"

namespace sheaf::tokenizer {

// Moves the places of `tokens` inwards by the spaces that their texts begin and end with, as
// byte-level post-processors do. Special tokens, which have no place, stay as they are. `text` is
// what the places mean, well-formed.
void trim_spaces(const SpaceTrimming& trimming, std::string_view text, std::vector<Token>& tokens);

}  // namespace sheaf::tokenizer
