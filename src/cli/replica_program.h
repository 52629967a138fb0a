#pragma once

#include <string>

#include "base/result.h"

namespace sheaf::cli {

// Whether it is a file that may be run.
bool is_program(const std::string& path);

// The path of sheaf-replica: `given` if not empty, else the one beside this executable. Error if no
// such program can be run.
Result<std::string> find_replica_program(const std::string& given);

}  // namespace sheaf::cli
