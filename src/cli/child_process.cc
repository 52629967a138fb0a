#include "cli/child_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/clock.h"

extern char** environ;

namespace sheaf::cli {
namespace {

constexpr int kEndMs = 5'000;
constexpr std::size_t kOutputMax = std::size_t{1} << 20;

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// As system calls take them; valid while `texts` is.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(std::vector<std::string> added) {
  const std::size_t own = added.size();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view ours = *entry;
    const std::string_view name = ours.substr(0, ours.find('=') + 1);
    const bool replaced = std::any_of(added.begin(), added.begin() + static_cast<long>(own),
                                      [&](const std::string& o) { return o.starts_with(name); });
    if (!replaced) added.emplace_back(ours);
  }
  return added;
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& command, Errors errors,
                                         const std::vector<std::string>& environment) {
  SHEAF_ASSIGN(Pipe input, make_pipe());
  SHEAF_ASSIGN(Pipe output, make_pipe());
  const std::vector<char*> arguments = pointers_to(command);
  const std::vector<std::string> variables = environment_with(environment);
  const std::vector<char*> variable_pointers = pointers_to(variables);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.read_end.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
  if (errors == Errors::dropped)
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  // A Ctrl-C at the terminal is ours: a child that it ended would look as if it had failed.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, command[0].c_str(), &actions, &attributes, arguments.data(),
                                  variable_pointers.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return errno_error(command[0], error);
  return ChildProcess(pid, std::move(input.write_end), std::move(output.read_end));
}

ChildProcess::ChildProcess(pid_t pid, Fd input, Fd output)
    : pid_(pid), input_(std::move(input)), output_(std::move(output)) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)) {}

ChildProcess::~ChildProcess() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  end();
}

void ChildProcess::end() {
  input_.reset();
  pollfd its_output{.fd = output_.get(), .events = 0, .revents = 0};  // hung up when it ends
  if (::poll(&its_output, 1, kEndMs) != 1) ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

Status ChildProcess::await_output(TimeUs until_us) {
  for (;;) {
    const TimeUs left_us = std::max<TimeUs>(until_us - monotonic_us(), 0);
    pollfd readable{.fd = output_.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(left_us / 1000));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return errno_error("waiting for a child", errno);
    if (ready < 0) continue;
    abandon();
    return Error{ErrorCode::deadline_exceeded, "the process did not answer in time"};
  }
}

void ChildProcess::abandon() {
  ::kill(pid_, SIGKILL);
  pid_ = 0;
}

Result<std::string> output_of(const std::vector<std::string>& command, int timeout_ms) {
  SHEAF_ASSIGN(ChildProcess process, ChildProcess::start(command, ChildProcess::Errors::dropped));
  const TimeUs end_us = monotonic_us() + TimeUs{timeout_ms} * 1000;
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    if (timeout_ms >= 0 && !process.await_output(end_us).ok())
      return Error{ErrorCode::deadline_exceeded, command[0] + " did not answer in time"};
    const ssize_t got = ::read(process.output(), part.data(), part.size());
    if (got == 0) return text;
    if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
    if (text.size() > kOutputMax)
      return Error{ErrorCode::corrupt,
                   fmt::format("{} writes more than {} bytes", command[0], kOutputMax)};
    if (got < 0 && errno != EINTR) return errno_error("reading from " + command[0], errno);
  }
}

}  // namespace sheaf::cli
