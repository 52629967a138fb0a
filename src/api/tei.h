#pragma once

#include "api/context.h"

// The dialect of Hugging Face's text-embeddings-inference, as of its version 1.9.
namespace sheaf::api {

core::RequestId tei_embed(const Call& call, Respond respond);
// [[{"index", "value"}]]: the words that weigh something in each text.
core::RequestId tei_embed_sparse(const Call& call, Respond respond);
// [[[float]]]: a vector for each token, neither pooled nor normalized.
core::RequestId tei_embed_all(const Call& call, Respond respond);
// What the model is for: embeds, weighs words, reranks or predicts.
core::RequestId tei_root(const Call& call, Respond respond);
core::RequestId tei_similarity(const Call& call, Respond respond);  // of texts to one
core::RequestId tei_tokenize(const Call& call, Respond respond);
core::RequestId tei_decode(const Call& call, Respond respond);
core::RequestId tei_info(const Call& call, Respond respond);

}  // namespace sheaf::api
