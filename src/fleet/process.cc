#include "fleet/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

extern "C" {  // which glibc 2.36 forgets to say in this header
#include <sys/pidfd.h>
}

namespace sheaf::fleet {
namespace {

class SpawnAttributes {
 public:
  SpawnAttributes() {
    ::posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;

  // `sources` lie above every target, so that no dup2 overwrites one that is still to come.
  void pass(const std::vector<Fd>& sources) {
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    // Standard output belongs to the router; a replica that held it would keep a reader waiting.
    ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int target = kFirstDescriptor;
    for (const Fd& source : sources)
      ::posix_spawn_file_actions_adddup2(&actions_, source.get(), target++);
    // Sockets of libraries that do not set close-on-exec (Asio's) stop here.
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, target);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

std::string_view name_of_variable(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

std::vector<std::string> child_environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    bool replaced = false;
    for (const std::string& other : added)
      replaced = replaced || name_of_variable(other) == name_of_variable(*entry);
    if (!replaced) all.emplace_back(*entry);
  }
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

Result<std::vector<Fd>> copies_above(const std::vector<int>& descriptors) {
  const int lowest = kFirstDescriptor + static_cast<int>(descriptors.size());
  std::vector<Fd> copies;
  for (const int descriptor : descriptors) {
    copies.emplace_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, lowest));
    if (!copies.back()) return errno_error("duplicating a descriptor for a child", errno);
  }
  return copies;
}

}  // namespace

Result<Process> Process::spawn(const SpawnOptions& options) {
  SHEAF_ASSIGN(const std::vector<Fd> sources, copies_above(options.descriptors));
  SpawnAttributes attributes;
  SpawnActions actions;
  actions.pass(sources);

  std::vector<std::string> arguments = {options.program};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment = child_environment(options.environment);
  int pid = 0;
  const int error = ::posix_spawn(&pid, options.program.c_str(), actions.get(), attributes.get(),
                                  pointers_to(arguments).data(), pointers_to(environment).data());
  if (error != 0) return errno_error(options.program, error);

  // The child cannot have been reaped by anyone else, so the pid is still its own.
  Process process(pid, Fd(::pidfd_open(pid, 0)));
  if (!process.pidfd_) {
    const int reason = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return errno_error("pidfd_open", reason);
  }
  return process;
}

Process::~Process() { end(); }

void Process::end() {
  if (!pidfd_) return;
  kill();
  // By pid, which is ours until reaped: on a pidfd that an event loop has made non-blocking, waitid
  // would not wait.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pidfd_.reset();
}

void Process::kill() {
  if (pidfd_) ::pidfd_send_signal(pidfd_.get(), SIGKILL, nullptr, 0);
}

std::optional<ExitStatus> Process::poll_exit() {
  siginfo_t info{};
  if (!pidfd_) return std::nullopt;
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
    return std::nullopt;
  pidfd_.reset();
  return ExitStatus{info.si_code != CLD_EXITED, info.si_status};
}

bool Process::stopped() const {
  // What /proc/PID/stat calls state T, asked without parsing; WNOWAIT leaves it to be seen again.
  siginfo_t info{};
  return pidfd_ &&
         ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid != 0;
}

TimeUs Process::cpu_us() const {
  clockid_t clock;
  timespec used{};
  if (!pidfd_ || ::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0)
    return 0;
  return TimeUs{used.tv_sec} * 1'000'000 + used.tv_nsec / 1'000;
}

// The second number of schedstat, in nanoseconds (Documentation/scheduler/sched-stats.rst).
TimeUs Process::starved_us() const {
  if (!pidfd_) return 0;
  std::error_code ended;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  std::int64_t total_ns = 0;
  for (std::filesystem::directory_iterator task(tasks, ended), end; !ended && task != end;
       task.increment(ended)) {
    std::int64_t ran_ns = 0, waited_ns = 0;
    if (std::ifstream(task->path() / "schedstat") >> ran_ns >> waited_ns) total_ns += waited_ns;
  }
  return total_ns / 1'000;
}

Result<SocketPair> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return errno_error("socketpair", errno);
  SocketPair pair{Fd(ends[0]), Fd(ends[1])};
  if (::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK) != 0)
    return errno_error("a control socket", errno);
  return pair;
}

}  // namespace sheaf::fleet
