#pragma once

#include <string>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// What sentence-transformers' Transformer module says in its own file (sentence_bert_config.json):
// how long a text may be, whether it is put in small letters, from which side it is cut, and how
// the module is loaded. Sets max_length, do_lower_case and cut_left of a spec in which the position
// table and the tokenizer's own files have been read. What would change a text's ids or its vector
// in a way that is not built is refused, by file and field.
Status read_transformer_module(const std::string& folder, ModelSpec& spec);

}  // namespace sheaf::model
