#pragma once

#include <cstdint>
#include <string>

namespace sheaf::fleet {

// Tells a SIGKILL by the kernel for lack of memory from any other, by the count of such kills that
// our cgroup keeps (the replicas live in ours). The kernel counts before it kills.
class OomWatch {
 public:
  OomWatch();

  // Call for each replica that died by a SIGKILL not ours: true if the counter has risen by a kill
  // that no earlier call has claimed.
  bool claim();
  // Call about once a second: kills of other processes that nobody claimed are forgotten between
  // one and two calls later.
  void forget_old();

 private:
  std::string path_;  // of the file with a line "oom_kill N"; empty if there is none
  std::uint64_t claimed_ = 0;
  std::uint64_t seen_ = 0;  // at the last forget_old()
};

// N of a line "oom_kill N" in `text`, 0 without one.
std::uint64_t parse_oom_kills(const std::string& text);

}  // namespace sheaf::fleet
