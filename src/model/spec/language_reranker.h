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
//  - Qwen's own files are in a folder, or a cache of a repository, whose name has "rerank" in it:
//    nothing in them differs from those of Qwen3 itself.
// Makes `spec` a reranker with the template of its pairs, the only one built being
// Qwen3-Reranker's; one-label classifiers that were made from such models get it where their chat
// template is that one. Other models stay as they are. After read_classifier().
Status read_language_reranker(const std::string& folder, const JsonObject& config,
                              const std::vector<Module>& modules, ModelSpec& spec);

}  // namespace sheaf::model
