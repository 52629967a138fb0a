#pragma once

#include <string>

#include "model/spec/spec.h"

namespace sheaf::api {

// What a model is and can be asked for, as the field "sheaf" of /info and /v1/models has it:
// {"kind":"embedder","outputs":{"vector":1024,"tokens":1024},"extra_heads":[],"notes":[]}. A number
// is that of a vector's, a token's or a sparse row's dimensions.
void append_model_facts(std::string& out, const model::ModelSpec& spec);

}  // namespace sheaf::api
