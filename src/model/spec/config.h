#pragma once

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// The architecture's part of `spec`, from a config.json. Each family of model_type has a reader of
// its own; what only shares a name with a family that is built is refused, not run wrongly.
Status read_config(const JsonObject& config, ModelSpec& spec);

}  // namespace sheaf::model
