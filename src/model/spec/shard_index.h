#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::model {

// What model.safetensors.index.json says of a checkpoint in several files: {tensor: shard}. A shard
// is the name of a file in the same folder, nothing else. Errors name `path` and the tensor.
Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text,
                                                             const std::string& path);

}  // namespace sheaf::model
