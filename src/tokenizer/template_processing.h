#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// {"single": [PIECE…], "pair": [PIECE…], "special_tokens": {NAME: {"id", "ids", "tokens"}}} where a
// piece is
// {"SpecialToken": {"id": NAME, "type_id": N}} or {"Sequence": {"id": "A" or "B", "type_id": N}}.
// The pair template is checked, but only the single one is used: sheaf embeds texts one by one.
Result<PostProcessor> parse_template_processing(const JsonField& field,
                                                const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
