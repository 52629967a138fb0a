#include "slices/mps_control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

extern char** environ;

namespace sheaf::slices {
namespace {

constexpr std::string_view kProgram = "nvidia-cuda-mps-control";
constexpr std::size_t kAnswerBytesMax = 1 << 20;

std::string found_in_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    std::string candidate = fmt::format("{}/{}", folder, program);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

// Ours, but for what speaks of cards and MPS.
std::vector<std::string> environment_for(const MpsFolders& folders, const std::string& uuid) {
  std::vector<std::string> list;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("CUDA_MPS_") && !text.starts_with("CUDA_VISIBLE_DEVICES="))
      list.emplace_back(text);
  }
  list.push_back("CUDA_MPS_PIPE_DIRECTORY=" + folders.pipe);
  list.push_back("CUDA_MPS_LOG_DIRECTORY=" + folders.log);
  if (!uuid.empty()) list.push_back("CUDA_VISIBLE_DEVICES=" + uuid);
  return list;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In a session of its own, with the signals that a new program has.
class Spawn {
 public:
  Spawn() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
  }
  ~Spawn() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  void give(int fd, int as) { posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  Result<pid_t> run(std::vector<std::string> command, std::vector<std::string> environment) {
    pid_t pid = 0;
    const int error = posix_spawn(&pid, command[0].c_str(), &actions_, &attributes_,
                                  pointers_to(command).data(), pointers_to(environment).data());
    if (error != 0) return errno_error(command[0], error);
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

struct PipeEnds {
  Fd read_end, write_end;
};
Result<PipeEnds> make_ends() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe", errno);
  return PipeEnds{Fd(ends[0]), Fd(ends[1])};
}

// All that comes until the end, or nothing further after `until`.
bool read_until(int fd, TimeUs until, std::string& text) {
  char chunk[4096];
  while (text.size() < kAnswerBytesMax) {
    const TimeUs left_us = until - monotonic_us();
    pollfd one{fd, POLLIN, 0};
    const int ready = left_us <= 0 ? 0 : poll(&one, 1, static_cast<int>(left_us / 1000 + 1));
    if (ready == 0) return false;
    const ssize_t size = ready < 0 ? -1 : read(fd, chunk, sizeof chunk);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return size == 0;
    text.append(chunk, static_cast<std::size_t>(size));
  }
  return true;
}

int wait_for_end(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

MpsFolders::MpsFolders(const std::string& slices_folder, const std::string& uuid)
    : base(fmt::format("{}/mps/{}", slices_folder, uuid)),
      pipe(base + "/pipe"),
      log(base + "/log"),
      state(base + "/state") {}

Result<MpsControl> MpsControl::find() {
  const char* named = std::getenv("SHEAF_MPS_CONTROL");
  std::string program = named != nullptr && *named != 0 ? named : found_in_path(kProgram);
  if (!program.empty() && access(program.c_str(), X_OK) == 0) return MpsControl(std::move(program));
  return Error{
      ErrorCode::not_found,
      fmt::format("{} is not here, without which there is no MPS: it comes with NVIDIA's "
                  "driver, as a package nvidia-cuda-mps (Debian) or nvidia-compute-utils-… "
                  "of the driver's number (Ubuntu)",
                  program.empty() ? kProgram : program)};
}

Result<pid_t> MpsControl::start(const MpsFolders& folders, const std::string& uuid) const {
  const std::string path = folders.log + "/daemon.log";
  const Fd output(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!output) return errno_error(path, errno);
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Spawn spawn;
  spawn.give(nothing.get(), STDIN_FILENO);
  spawn.give(output.get(), STDOUT_FILENO);
  spawn.give(output.get(), STDERR_FILENO);
  // In the foreground: its number is known, and its end is seen.
  return spawn.run({program_, "-f"}, environment_for(folders, uuid));
}

Result<std::string> MpsControl::ask(const MpsFolders& folders, const std::string& command,
                                    int timeout_ms) const {
  const TimeUs until = monotonic_us() + TimeUs(timeout_ms) * 1000;
  SHEAF_ASSIGN(PipeEnds input, make_ends());
  SHEAF_ASSIGN(PipeEnds output, make_ends());
  // Before anybody reads it: a command fits into the pipe.
  const std::string line = command + "\n";
  if (write(input.write_end.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return errno_error("pipe", errno);
  input.write_end.reset();
  Spawn spawn;
  spawn.give(input.read_end.get(), STDIN_FILENO);
  spawn.give(output.write_end.get(), STDOUT_FILENO);
  spawn.give(output.write_end.get(), STDERR_FILENO);
  SHEAF_ASSIGN(const pid_t pid, spawn.run({program_}, environment_for(folders, "")));
  output.write_end.reset();
  std::string answer;
  const bool whole = read_until(output.read_end.get(), until, answer);
  if (!whole) kill(pid, SIGKILL);
  const int status = wait_for_end(pid);
  if (!whole)
    return Error{ErrorCode::deadline_exceeded,
                 fmt::format("the MPS daemon at {} does not answer '{}' within {} ms", folders.pipe,
                             command, timeout_ms)};
  while (answer.ends_with('\n')) answer.pop_back();
  if (status == 0) return answer;
  return Error{ErrorCode::io, fmt::format("the MPS daemon at {} refuses '{}': {}", folders.pipe,
                                          command, excerpt(answer, 200))};
}

}  // namespace sheaf::slices
