#pragma once

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Where config.json says that the model is a classifier (`architectures`: ...ForSequence-
// Classification, as transformers saves rerankers too): its labels, pooling and head. Every family
// has a head of its own form; see transformers' modeling_<family>.py. Leaves other models as they
// are. After read_config().
Status read_classifier(const JsonObject& config, ModelSpec& spec);

}  // namespace sheaf::model
