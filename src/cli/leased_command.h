#pragma once

#include <string>
#include <vector>

#include "slices/lease.h"

namespace sheaf::cli {

// Runs a program on a slice that this process holds: with its environment, bound to its cores. The
// lease is renewed while it runs and released at its end. If the lease is lost, the program is
// asked to end; if this process is killed, so is the program. Signals sent to this process go to
// it. Gives its exit code, 128 + the signal that ended it, or 127 where it cannot be started.
int run_leased(const std::string& folder, const slices::Lease& lease,
               const std::vector<std::string>& command);

}  // namespace sheaf::cli
