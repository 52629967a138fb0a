#include "slices/process_identity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <sstream>
#include <string>

extern "C" {  // which glibc 2.36 forgets to say in this header
#include <sys/pidfd.h>
}

#include "base/fd.h"

namespace sheaf::slices {
namespace {

// Without a stream: of a process that ends meanwhile, reading fails, for which those throw.
std::string stat_of(pid_t pid) {
  const Fd file(open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file ? read(file.get(), text, sizeof text) : -1;
  return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
}

constexpr int kParentField = 4, kStartField = 22;
constexpr int kGenerationsMax = 1000;  // numbers change hands while they are read

// A number of /proc/PID/stat, counted behind the name, which may hold spaces and parentheses; 0:
// there is no such process.
std::uint64_t field_of(pid_t pid, int number) {
  const std::string text = stat_of(pid);
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream words(text.substr(name_end + 1));
  std::string word;
  for (int field = 3; field < number; ++field) words >> word;
  std::uint64_t value = 0;
  words >> value;
  return value;
}

std::uint64_t start_of(pid_t pid) { return field_of(pid, kStartField); }

}  // namespace

Result<ProcessIdentity> identify(pid_t pid) {
  const ProcessIdentity process{pid, start_of(pid)};
  if (!is_alive(process))
    return Error{ErrorCode::not_found, fmt::format("there is no process {}", pid)};
  return process;
}

bool is_alive(const ProcessIdentity& process) {
  if (process.pid <= 0) return false;
  // The descriptor is of the process that has the number now, and stays of that one.
  const Fd file(pidfd_open(process.pid, 0));
  if (!file && errno == ESRCH) return false;
  const std::uint64_t started = start_of(process.pid);
  if (process.started != 0 && started != 0 && started != process.started) return false;
  if (!file) return true;  // a kernel that gives none: the number and the start say enough
  pollfd one{file.get(), POLLIN, 0};
  return poll(&one, 1, 0) <= 0;  // readable once it has ended
}

bool descends_from(pid_t process, pid_t ancestor) {
  for (int i = 0; i < kGenerationsMax && process > 0; ++i) {
    if (process == ancestor) return true;
    process = static_cast<pid_t>(field_of(process, kParentField));
  }
  return false;
}

bool end_process(const ProcessIdentity& process, int wait_ms) {
  if (process.pid <= 0) return true;
  const Fd file(pidfd_open(process.pid, 0));
  if (!is_alive(process)) return true;
  // What the descriptor is of was alive and the right one after it was opened.
  if (!file) return kill(process.pid, SIGKILL) == 0 && !is_alive(process);
  (void)pidfd_send_signal(file.get(), SIGKILL, nullptr, 0);
  pollfd one{file.get(), POLLIN, 0};
  return poll(&one, 1, wait_ms) > 0;
}

}  // namespace sheaf::slices
