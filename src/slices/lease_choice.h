#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/gpu.h"
#include "slices/lease_table.h"
#include "slices/slice.h"

// Which slice of a machine somebody gets. Pure: nothing is read or written.
namespace sheaf::slices {

struct LeaseGround {
  Machine machine;
  std::vector<Gpu> gpus;  // read only where somebody needs one
};

struct LeaseChoice {
  std::optional<LeasedSlice> slice;
  std::string why_none;  // "mig:0/3 (1g.5gb) is leased to task t …"
  // Leases (ids) that alone stand in the way of one slice that suffices, and are drainable.
  std::vector<std::string> drainable = {};
};

// The smallest slice that suffices and that nobody has. `waiting_before`: how many of the table's
// waiting came earlier; what one of them could take is not given away. A card or MIG slice on which
// something computes already is free only for who names it. Errors not_found, invalid_argument:
// this machine has no such slice, leased or not.
Result<LeaseChoice> choose_slice(const LeaseNeed& need, const LeaseGround& ground,
                                 const LeaseTable& table, std::size_t waiting_before);

bool needs_gpus(const LeaseNeed& need);

// Of "cores:0-1" those of this machine. Errors not_found, of cores that may not be used here, and
// invalid_argument.
Result<LeasedSlice> named_cores(const std::string& name, const Machine& machine);
}  // namespace sheaf::slices
