#include "slices/lease_json.h"

#include <algorithm>

namespace sheaf::slices {

nlohmann::ordered_json facts_of(const Lease& lease) {
  auto environment = nlohmann::ordered_json::object();
  for (const std::string& entry : environment_of(lease)) {
    const std::size_t equals = entry.find('=');
    environment[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  const std::int64_t left_ms = std::max<std::int64_t>(lease.ends_ms - boot_ms(), 0);
  return {{"id", lease.id},
          {"task_id", lease.task_id},
          {"need", describe(lease.need)},
          {"kind", lease.slice.kind},
          {"slice", lease.slice.id},
          {"text", lease.slice.text},
          {"cpus", lease.slice.cpus},
          {"memory_bytes", lease.slice.memory_bytes},
          {"user", lease.owner.user},
          {"tenant", lease.owner.tenant},
          {"holder_pid", lease.holder.pid},
          {"shared", lease.need.shared},
          {"drainable", lease.drainable},
          {"ttl_s", static_cast<double>(lease.ttl_ms) / 1000},
          {"ends_in_s", static_cast<double>(left_ms) / 1000},
          {"environment", environment}};
}

}  // namespace sheaf::slices
