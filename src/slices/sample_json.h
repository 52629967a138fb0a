#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "slices/slice_sample.h"

// A sample as JSON, as `GET /v1/fleet` and `sheaf top --json` give it. Loads 0 to 1, power in
// watts, times in seconds; null for what is not known.
namespace sheaf::slices {

nlohmann::ordered_json facts_of(const SliceSample& sample);

// And back, from a server whose word is not taken: fields of wrong types are an error (corrupt)
// that names the first one; fields that are not there are not known.
Result<SliceSample> sample_of(const nlohmann::json& facts);

}  // namespace sheaf::slices
