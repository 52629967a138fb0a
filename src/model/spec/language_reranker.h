#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/modules.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Language models that are asked whether a document answers a query, and score it by what they
// would say next: the logit of "yes" less that of "no" (Zhang et al., "Qwen3 Embedding", 2025). A
// folder holds one if
//  - modules.json has a LogitScore module, as sentence-transformers saves them; or
//  - config.json has classifier_from_token, as vLLM is told; or
//  - `choice` says so; or
//  - it is a bare Qwen3, of which nothing else was chosen, whose chat template is of such pairs,
//    whose model card (README.md) has the task text-ranking, or whose folder, or repository in the
//    cache, has "rerank" in its name: nothing else in Qwen's files differs from those of Qwen3; or
//  - it is a bare Qwen2 with "mxbai-rerank" in such a name: mxbai-rerank-v2, whose tokens are "1"
//    and "0".
// Makes `spec` a reranker with the template of its pairs, built being Qwen3-Reranker's and
// mxbai-rerank-v2's; other bare language models that are called rerankers are refused. One-label
// classifiers that were made from such models get it where their chat template is that one. Other
// models stay as they are. After read_classifier().
Status read_language_reranker(const std::string& folder, const JsonObject& config,
                              const std::vector<Module>& modules, const PoolingChoice& choice,
                              ModelSpec& spec);

// Whether config.json is of a whole language model.
bool is_language_model(const JsonObject& config);

}  // namespace sheaf::model
