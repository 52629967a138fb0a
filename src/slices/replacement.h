#pragma once

#include <optional>
#include <span>
#include <vector>

#include "slices/placement.h"

namespace sheaf::slices {

// Another slice of the same kind for a replica whose own vanished, from the devices that are there
// now: its own if it is back, else one with the others of its shares, else the smallest that is
// large enough and nobody's. Of one that has several cards each by itself. `taken`: where the other
// replicas are. Nothing: it has to wait.
std::optional<PlacedReplica> find_replacement(const Machine& machine,
                                              const std::vector<Device>& devices,
                                              const PlacedReplica& lost,
                                              std::span<const Slice> taken,
                                              const PlacementRules& rules);

}  // namespace sheaf::slices
