#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/mapping.h"
#include "kernels/ranks/communicator.h"

namespace sheaf::kernels {

// Ranks in processes or threads of this machine, over memory that all of them have mapped.
// A rank that ends, or that others wait for longer than `patience_ms`, ends the group.
struct SharedGroup {
  std::size_t ranks = 1;
  int patience_ms = 30'000;
  // Raised by whichever rank computes, if there is such: as long as it is, nobody is late.
  const std::atomic<std::uint64_t>* progress = nullptr;
};

// Of the file that they map, which has to be zero at first. Pages that are not used take nothing.
std::size_t shared_group_bytes(std::size_t ranks);
// Of it, what sums use, and what one rank uses that sends to one other.
std::size_t shared_sum_bytes(std::size_t ranks);
std::size_t shared_send_bytes();

// Error of kind invalid_argument: no such rank, or the mapping has another size; unavailable: there
// was that rank before, which ends the group, since nobody can know how far it came. `memory` is
// writable.
Result<std::unique_ptr<Communicator>> join_shared_group(Mapping memory, std::size_t rank,
                                                        SharedGroup group);

}  // namespace sheaf::kernels
