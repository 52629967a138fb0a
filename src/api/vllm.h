#pragma once

#include "api/context.h"

// vLLM's routes for classifiers, with the errors of its OpenAI routes.
namespace sheaf::api {

// Scores of pairs in the order given; a reranker's.
core::RequestId vllm_score(const Call& call, Respond respond);

// Labels of texts. Infinity has a route of this name too, which answers otherwise; its client
// always sends `raw_scores`, a field that vLLM lacks, and is then answered in Infinity's form.
core::RequestId vllm_classify(const Call& call, Respond respond);

}  // namespace sheaf::api
