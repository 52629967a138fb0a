#pragma once

#include "tokenizer/post_processor.h"

namespace sheaf::tokenizer {

// {"single": [PIECE…], "pair": [PIECE…], "special_tokens": {NAME: {"id", "ids", "tokens"}}} where a
// piece is
// {"SpecialToken": {"id": NAME, "type_id": N}} or {"Sequence": {"id": "A" or "B", "type_id": N}}.
// A pair template that PairTemplate cannot express is no error until a pair is encoded.
Result<PostProcessor> parse_template_processing(const JsonField& field,
                                                const PostProcessor::IsKnownId& is_known);

}  // namespace sheaf::tokenizer
