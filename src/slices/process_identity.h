#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace sheaf::slices {

// A process of this machine, told from another that gets its number later.
struct ProcessIdentity {
  pid_t pid = 0;              // 0: no process
  std::uint64_t started = 0;  // clock ticks after the boot; 0 where the kernel does not tell
  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

// Error not_found: there is no such process.
Result<ProcessIdentity> identify(pid_t pid);

// Whether that very process runs still; one that has ended and waits to be reaped does not.
bool is_alive(const ProcessIdentity& process);

// Whether the process is the ancestor, or was started by it, or by what that started, and so on.
bool descends_from(pid_t process, pid_t ancestor);

// Kills that very process and waits for its end, `wait_ms` at most; false: it has not come, as of a
// process that hangs in a driver. One that is gone already is no other one's harm.
bool end_process(const ProcessIdentity& process, int wait_ms);

}  // namespace sheaf::slices
