#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace sheaf::fleet {

struct SpawnOptions {
  std::string program;                   // a path
  std::vector<std::string> arguments;    // after the program's name
  std::vector<std::string> environment;  // "NAME=value", replaces ours of that name
  std::vector<int> descriptors;          // numbered child_descriptor(0), (1), ... in the child
};
inline constexpr int kFirstDescriptor = 3;
// What the child's command line says of the descriptor with this place in the list.
inline std::string child_descriptor(int place) { return std::to_string(kFirstDescriptor + place); }

struct ExitStatus {
  bool by_signal = false;
  int value = 0;  // signal number or exit code
};

// The one owner of a child process; kills and reaps it when destroyed.
//
// The child gets the named descriptors and standard error, nothing else. It leads a process group
// of its own, in our session: a Ctrl-C at the terminal reaches the router alone, which drains; and
// when the router dies, the kernel sends SIGHUP and SIGCONT to orphaned groups that are stopped,
// so even a child under SIGSTOP ends with us. (Not PR_SET_PDEATHSIG, which is about the thread that
// forked, and would keep a successor router from inheriting replicas. A child that is not stopped
// ends by the closing of its control socket.)
class Process {
 public:
  static Result<Process> spawn(const SpawnOptions& options);
  Process(Process&& other) noexcept = default;
  Process& operator=(Process&&) = delete;
  ~Process();

  int pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable once it has ended

  void kill();                            // SIGKILL; nothing if it has been reaped
  void end();                             // the same, and waits until it is reaped
  std::optional<ExitStatus> poll_exit();  // reaps it; nothing while it runs
  bool stopped() const;                   // state T
  TimeUs cpu_us() const;                  // used so far, by all its threads
  // How long its threads have waited for a core so far, their sum; 0 where the kernel keeps no such
  // account. Reads a file a thread, about 10 us each (Zen 3).
  TimeUs starved_us() const;

 private:
  Process(int pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  int pid_ = 0;
  Fd pidfd_;  // empty once reaped
};

// A connected pair of sockets, close-on-exec, ours (first) non-blocking.
struct SocketPair {
  Fd ours, theirs;
};
Result<SocketPair> make_socket_pair();

}  // namespace sheaf::fleet
