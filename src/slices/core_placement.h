#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "slices/placement.h"

namespace sheaf::slices {

// The part of place() that is about cores: a set for each replica of the wishes that are not on
// cards, in the order of wishes. Errors as there.
Result<std::vector<PlacedReplica>> place_on_cores(const Machine& machine,
                                                  std::span<const Wish> wishes,
                                                  const PlacementRules& rules);

}  // namespace sheaf::slices
