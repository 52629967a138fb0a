#pragma once

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Where a family's config.json says how one kind of layer is turned: in that kind's own part of
// rope_parameters, in rope_parameters as a whole, or, in older files, in a field for theta and
// another for the scaling, which counts where both are there.
struct RotaryFields {
  const char* kind = "full_attention";
  const char* theta = "rope_theta";
  const char* scaling = "";  // "": never scaled
  double otherwise = 10'000;
  bool phi3 = false;  // the one family of ours of which a part of a head may turn
};

// As transformers 5 reads them (modeling_rope_utils.py, configuration_phi3.py): default, dynamic,
// linear, llama3, longrope and yarn. `spec` has its shape already.
Result<RotarySpec> read_rotary(const JsonObject& config, const RotaryFields& fields,
                               const ModelSpec& spec);

}  // namespace sheaf::model
