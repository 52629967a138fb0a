#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// As ByteLevel, then as BertProcessing.
Result<PostProcessor> parse_roberta_processing(const JsonField& field,
                                               const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
