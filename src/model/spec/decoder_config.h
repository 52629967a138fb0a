#pragma once

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

// Readers of the config.json of language models that embed. Generating, they saw only what stood
// before; is_causal: false says that as embedding models they see the whole text.
namespace sheaf::model {

Status read_gemma3(const JsonObject& config, ModelSpec& spec);
Status read_llama(const JsonObject& config, ModelSpec& spec);
Status read_mistral(const JsonObject& config, ModelSpec& spec);
Status read_phi3(const JsonObject& config, ModelSpec& spec);
Status read_qwen2(const JsonObject& config, ModelSpec& spec);
Status read_qwen3(const JsonObject& config, ModelSpec& spec);

}  // namespace sheaf::model
