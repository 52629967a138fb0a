#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// {"cls": [TEXT, ID], "sep": [TEXT, ID]}: the first before, the second behind, and behind each text
// of a pair, of which the second and what follows it are of type 1.
Result<PostProcessor> parse_bert_processing(const JsonField& field,
                                            const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
