#pragma once

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

// Readers of config.json, a family each, of what model/long_bert.h runs; see config.h.
namespace sheaf::model {

Status read_gte(const JsonObject& config, ModelSpec& spec);
Status read_jina_bert(const JsonObject& config, ModelSpec& spec);
Status read_jina_flash(const JsonObject& config, ModelSpec& spec);
Status read_jina_v3(const JsonObject& config, ModelSpec& spec);
Status read_nomic(const JsonObject& config, ModelSpec& spec);

}  // namespace sheaf::model
