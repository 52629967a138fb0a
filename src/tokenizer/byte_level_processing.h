#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// Adds no tokens; with "trim_offsets", places leave out spaces.
Result<PostProcessor> parse_byte_level_processing(const JsonField& field);

}  // namespace sheaf::tokenizer
