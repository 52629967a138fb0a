#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::server {

// The content of a gzip stream (one or more members). Never produces more than `bytes_max`:
// too_large names it. Damaged or unfinished streams are invalid_argument.
Result<std::string> gunzip(std::string_view compressed, std::size_t bytes_max);

}  // namespace sheaf::server
