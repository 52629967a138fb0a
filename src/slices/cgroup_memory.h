#pragma once

#include <cstdint>
#include <string>

namespace sheaf::slices {

// What this process's control group may have of memory.
struct CgroupMemory {
  std::uint64_t limit_bytes = 0;  // the smallest on the way to the root; 0: none
  std::uint64_t used_bytes = 0;   // in the group that has that limit
  std::uint64_t oom_kills = 0;    // processes that the kernel killed for it, since the group began
};

// Both versions of control groups. `self` is /proc/self/cgroup, `root` /sys/fs/cgroup.
CgroupMemory read_cgroup_memory(const std::string& self = "/proc/self/cgroup",
                                const std::string& root = "/sys/fs/cgroup");

}  // namespace sheaf::slices
