#pragma once

#include <string>

#include "base/result.h"

namespace sheaf::engine {

// pack() for a named backend of kernels::backend_names(), for tests and measurements.
Status pack_for(const std::string& backend, const std::string& folder, int fd);

}  // namespace sheaf::engine
