#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "slices/placement.h"

namespace sheaf::slices {

inline Error placement_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

// A slice's name without "@machine", which must be this one.
Result<std::string> on_this_machine(const std::string& word, const PlacementRules& rules);

}  // namespace sheaf::slices
