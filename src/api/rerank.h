#pragma once

#include "api/context.h"

// Scores of documents for a query, in the words of whoever asks: a body with `texts` is TEI's, one
// with `property` Weaviate's, any other is answered with what the clients of Cohere, Jina, vLLM
// and Infinity read, all in one object. The path says the rest: v1 and v2 are Cohere's versions.
namespace sheaf::api {

core::RequestId rerank(const Call& call, Respond respond);
core::RequestId rerank_at_root(const Call& call, Respond respond);  // errors are TEI's
core::RequestId rerank_v1(const Call& call, Respond respond);
core::RequestId rerank_v2(const Call& call, Respond respond);

}  // namespace sheaf::api
