#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// Several post-processors, one after the other, of which at most one adds tokens.
Result<PostProcessor> parse_post_processor_sequence(const JsonField& field,
                                                    const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
