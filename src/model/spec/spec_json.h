#pragma once

#include <string>
#include <string_view>

#include "model/spec/spec.h"

namespace sheaf::model {

// One line of JSON with every field, as packed weight files carry it; and back, checked as
// read_spec() checks.
std::string to_json(const ModelSpec& spec);
Result<ModelSpec> spec_from_json(std::string_view text, const std::string& file);

}  // namespace sheaf::model
