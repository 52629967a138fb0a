#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/flag_set.h"
#include "cli/serve_settings.h"

namespace sheaf::cli {

// Reads sheaf.yaml (deploy/sheaf.yaml is the commented sample): hands every scalar whose key is a
// config_key of `flags` to it, and returns the `models` list. An unknown key is an error that names
// the line and the nearest known key.
Result<std::vector<ModelSetting>> read_config_file(const std::string& path, FlagSet& flags);

// The same from text; `path` only names it in errors.
Result<std::vector<ModelSetting>> parse_config(const std::string& yaml, const std::string& path,
                                               FlagSet& flags);

}  // namespace sheaf::cli
