#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/serve_settings.h"
#include "hub/hub.h"
#include "model/spec/spec.h"
#include "router/router.h"

namespace sheaf::cli {

// Finds a model's files, fetching what is missing with a progress bar.
Result<hub::ResolvedModel> fetch_model(const std::string& source, const std::string& revision,
                                       const hub::HubOptions& hub);

// "cls + mean, normalized", "splade"; of classifiers what their heads are put behind.
std::string describe_pooling(const model::ModelSpec& spec);

// What it can be asked for, one thing each: "vector: dimensions 384, pooling mean, normalized",
// "sparse: words 250002, head sparse_linear", "tokens: dimensions 384", "labels: 3".
std::vector<std::string> describe_outputs(const model::ModelSpec& spec);

// What the router is to serve for a model whose files have been found; its dtype may be "auto" yet.
Result<router::ModelConfig> model_config(const ModelSetting& model, const ServeSettings& settings,
                                         const hub::ResolvedModel& found);

}  // namespace sheaf::cli
