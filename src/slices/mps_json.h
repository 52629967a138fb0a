#pragma once

#include <nlohmann/json.hpp>

#include "slices/lease_json.h"
#include "slices/mps.h"

// MPS daemons as JSON, in their files and between helper and asker. nlohmann finds these by name.
namespace sheaf::slices {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MpsSettings, thread_percentage, memory_limit_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MpsEvent, what, at_unix_s, clients)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MpsDaemon, uuid, text, settings, process, generation, last,
                                   servers, clients)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MpsServer, pid, status, clients)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MpsView, daemon, state, servers)

}  // namespace sheaf::slices
