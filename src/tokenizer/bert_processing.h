#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// {"cls": [TEXT, ID], "sep": [TEXT, ID]}: the first before, the second behind.
Result<PostProcessor> parse_bert_processing(const JsonField& field,
                                            const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
