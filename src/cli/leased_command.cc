#include "cli/leased_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cli/command.h"
#include "slices/lease_request.h"

namespace sheaf::cli {
namespace {

constexpr int kCannotStart = 127;  // as shells say it
constexpr int kBySignal = 128;

// Signals that are passed on, and that of a child's end: as a descriptor, and as they were before.
struct Signals {
  Fd fd;
  sigset_t before = {};
};

Result<Signals> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD}) sigaddset(&set, signal);
  Signals signals;
  if (sigprocmask(SIG_BLOCK, &set, &signals.before) != 0) return errno_error("sigprocmask", errno);
  signals.fd = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd) return errno_error("signalfd", errno);
  return signals;
}

bool bind_to(const std::vector<int>& cpus) {
  if (cpus.empty()) return true;
  const auto count = static_cast<std::size_t>(cpus.back()) + 1;
  cpu_set_t* set = CPU_ALLOC(count);
  CPU_ZERO_S(CPU_ALLOC_SIZE(count), set);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), CPU_ALLOC_SIZE(count), set);
  const bool bound = sched_setaffinity(0, CPU_ALLOC_SIZE(count), set) == 0;
  CPU_FREE(set);
  return bound;
}

// In the child; comes back only where it failed, which `errors` is told.
void become(const slices::Lease& lease, const std::vector<std::string>& command, pid_t parent,
            const sigset_t& signals, int errors) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) return;  // it died before that
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  if (bind_to(lease.slice.cpus)) {
    for (const std::string& entry : environment_of(lease)) {
      const std::size_t equals = entry.find('=');
      setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    }
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    execvp(words[0], words.data());
  }
  const int reason = errno;
  (void)!write(errors, &reason, sizeof reason);
}

Result<pid_t> start_leased(const slices::Lease& lease, const std::vector<std::string>& command,
                           const sigset_t& signals) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe", errno);
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return errno_error("fork", errno);
  if (pid == 0) {
    become(lease, command, parent, signals, write_end.get());
    _exit(kCannotStart);
  }
  write_end.reset();
  int reason = 0;
  if (read(read_end.get(), &reason, sizeof reason) != sizeof reason) return pid;
  waitpid(pid, nullptr, 0);
  return errno_error(command[0], reason);
}

// Sends on what was sent to us; what a terminal sends, the command has got itself.
void pass_on(int signals, pid_t pid) {
  signalfd_siginfo info = {};
  while (read(signals, &info, sizeof info) == sizeof info)
    if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
      kill(pid, static_cast<int>(info.ssi_signo));
}

// False where the lease is lost. What cannot be asked now is asked again.
bool renewed(const std::string& folder, const slices::Lease& lease) {
  slices::LeaseRequest request{.verb = slices::LeaseRequest::Verb::renew};
  request.lease = lease.id;
  const auto answer = slices::request_lease(folder, request);
  if (answer.ok()) return true;
  log(LogLevel::warn, "{}", answer.error().message);
  return answer.error().code != ErrorCode::not_found;
}

int wait_for_leased(const std::string& folder, const slices::Lease& lease, int signals, pid_t pid) {
  const TimeUs interval_us = std::max<TimeUs>(lease.ttl_ms * 1000 / 3, 100'000);
  TimeUs renew_us = monotonic_us() + interval_us;
  int status = 0;
  while (true) {
    const auto left_ms =
        static_cast<int>(std::clamp<TimeUs>((renew_us - monotonic_us()) / 1000 + 1, 0, 60'000));
    pollfd one{signals, POLLIN, 0};
    if (poll(&one, 1, left_ms) > 0) pass_on(signals, pid);
    if (waitpid(pid, &status, WNOHANG) == pid) return status;
    if (monotonic_us() < renew_us) continue;
    if (!renewed(folder, lease)) kill(pid, SIGTERM);
    renew_us = monotonic_us() + interval_us;
  }
}

void release_leased(const std::string& folder, const slices::Lease& lease) {
  slices::LeaseRequest request{.verb = slices::LeaseRequest::Verb::release};
  request.lease = lease.id;
  // It ends with this process in any case.
  if (const auto done = slices::request_lease(folder, request); !done.ok())
    log(LogLevel::warn, "{}", done.error().message);
}

}  // namespace

int run_leased(const std::string& folder, const slices::Lease& lease,
               const std::vector<std::string>& command) {
  const auto signals = take_signals();
  if (!signals.ok()) return fail("slices", signals.error());
  const auto pid = start_leased(lease, command, signals->before);
  if (!pid.ok()) {
    release_leased(folder, lease);
    fail("slices", pid.error());
    return kCannotStart;
  }
  const int status = wait_for_leased(folder, lease, signals->fd.get(), *pid);
  release_leased(folder, lease);
  return WIFSIGNALED(status) ? kBySignal + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace sheaf::cli
