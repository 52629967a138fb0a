#pragma once

#include <string>

#include "base/result.h"
#include "slices/mig_request.h"

namespace sheaf::slices {

// As request_change() (slice_helper.h), after the replicas of `sheaf serve` have moved away from
// what the change takes: it leases each such slice with LeaseRequest::drain, and keeps it until the
// change is made. Errors, before anything is asked to move: another's lease that is not drainable,
// or a process that is none of sheaf's; deadline_exceeded: replicas were not gone within wait_ms.
Result<ChangeReport> request_change_after_drain(const std::string& folder,
                                                const MigRequest& request, int wait_ms,
                                                const std::string& who);

}  // namespace sheaf::slices
