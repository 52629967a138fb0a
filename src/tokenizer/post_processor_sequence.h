#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// Several post-processors; each puts its tokens around those of the ones before it.
Result<PostProcessor> parse_post_processor_sequence(const JsonField& field,
                                                    const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
