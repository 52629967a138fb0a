#pragma once

#include <nlohmann/json.hpp>

#include "slices/lease.h"
#include "slices/lease_table.h"

// Leases as JSON, in the table's file and between helper and asker. nlohmann finds these by name;
// what is missing or of another type throws its exceptions.
namespace sheaf::slices {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProcessIdentity, pid, started)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LeaseOwner, user, tenant)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LeaseNeed, slice, kind, profile, memory_bytes, cores, shared)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LeasedSlice, kind, id, text, cpus, gpu_uuid, memory_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Lease, id, task_id, need, slice, owner, holder, ttl_ms, ends_ms,
                                   drainable)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LeaseTicket, id, need, owner, waiter, ends_ms, drains)

// What commands and HTTP tell of a lease.
nlohmann::ordered_json facts_of(const Lease& lease);

}  // namespace sheaf::slices
