#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Its files; the first that exists counts. Models made before sentence-transformers 2 name it after
// their architecture.
inline constexpr std::string_view kTransformerFiles[] = {
    "sentence_bert_config.json",       "sentence_roberta_config.json",
    "sentence_distilbert_config.json", "sentence_camembert_config.json",
    "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json"};

// What sentence-transformers' Transformer module says in its own file (sentence_bert_config.json):
// how long a text may be, whether it is put in small letters, from which side it is cut, and how
// the module is loaded. Sets max_length, do_lower_case and cut_left of a spec in which the position
// table and the tokenizer's own files have been read. What would change a text's ids or its vector
// in a way that is not built is refused, by file and field.
Status read_transformer_module(const std::string& folder, ModelSpec& spec);

}  // namespace sheaf::model
