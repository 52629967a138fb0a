#include "cli/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

extern char** environ;

namespace sheaf::cli {
namespace {

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& command, Errors errors) {
  SHEAF_ASSIGN(Pipe input, make_pipe());
  SHEAF_ASSIGN(Pipe output, make_pipe());
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.read_end.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
  if (errors == Errors::dropped)
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
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
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

Result<std::string> output_of(const std::vector<std::string>& command) {
  SHEAF_ASSIGN(const ChildProcess process,
               ChildProcess::start(command, ChildProcess::Errors::dropped));
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(process.output(), part.data(), part.size());
    if (got == 0) return text;
    if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) return errno_error("reading from " + command[0], errno);
  }
}

}  // namespace sheaf::cli
