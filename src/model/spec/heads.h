#pragma once

#include <string>

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

// Heads that answer with more than one vector. Errors name file and field.
namespace sheaf::model {

// Of a masked language model, whose architecture is known, as `config` (config.json) has it.
Status read_word_head(const JsonObject& config, ModelSpec& spec);

// How a SpladePooling module of sentence-transformers sums its logits up.
Status read_splade_pooling(const JsonObject& config, ModelSpec& spec);

// bge-m3's, if their files lie in `folder`: sparse_linear.safetensors and
// colbert_linear.safetensors with the tensors "weight" and, perhaps, "bias". As pickles (.pt) they
// are not read but noted.
Status read_token_heads(const std::string& folder, ModelSpec& spec);

// That `spec` has heads which are stored but not read, why, and what helps; "" if it has none.
std::string unread_heads_of(const ModelSpec& spec);

// The files that read_token_heads() looks for.
extern const char* const kTokenHeadFiles[2];

}  // namespace sheaf::model
