#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "slices/placement.h"

namespace sheaf::slices {

inline Error placement_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

// What errors say of a divided replica.
struct DivisionWords {
  std::string_view flag, process, place, places;
};
const DivisionWords& words_of(Division division);

// A slice's name without "@machine", which must be this one.
Result<std::string> on_this_machine(const std::string& word, const PlacementRules& rules);

}  // namespace sheaf::slices
