#pragma once

#include <cstdint>

#include "slices/placement.h"

// What of a card or MIG slice a replica may have, and the slice that it then runs on.
namespace sheaf::slices {

std::uint64_t usable_bytes(const Device& device, const PlacementRules& rules);

// What a replica may take: its own weights, though others map them too, and an even part of what
// all weights leave.
std::uint64_t share_bytes(const Device& device, std::uint32_t shares, const SharedBytes& weights,
                          const PlacementRules& rules);

// Number `share` of `shares`, with its environment; without cores and threads.
Slice slice_on(const Device& device, std::uint32_t shares, std::uint32_t share,
               const SharedBytes& weights, const PlacementRules& rules);

// The cores of the device's own memory domain; all where it is unknown or none of ours.
void bind_near(const Machine& machine, const Device& device, Slice& slice);

}  // namespace sheaf::slices
