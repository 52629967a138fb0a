#pragma once

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"

namespace sheaf::model {

// The word embeddings into `table`. Where the model's head multiplies by them too they are packed
// for that product alone, and looked up there: a copy would be a fifth of BERT's weights.
void bind_words(const ModelSpec& spec, WeightSource& weights, kernels::Embedding& table);

// The position embeddings. In RoBERTa's kin, whose position_offset follows the padding token's id,
// that token has the row before a text's first and is not counted, even where a text spells it.
void bind_positions(const ModelSpec& spec, WeightSource& weights, kernels::Embedding& table);

// The product of a masked language model's head with its words, [hidden] -> [vocabulary].
kernels::Linear bind_decoder(const ModelSpec& spec, WeightSource& weights);

}  // namespace sheaf::model
