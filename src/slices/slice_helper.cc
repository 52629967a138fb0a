#include "slices/slice_helper.h"

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace sheaf::slices {
namespace {

constexpr int kClientMs = 5000;
constexpr int kLockWaitMs = 60'000;  // a change takes seconds; another's may come first
constexpr int kAnswerMs = 300'000;   // that a client waits for: instances take a second each
constexpr std::size_t kLineMax = 1 << 20;

std::string socket_path(const std::string& folder) { return folder + "/socket"; }

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is longer than the {} bytes of a socket's name", path,
                             sizeof address.sun_path - 1)};
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<Fd> connect_to(const std::string& path) {
  SHEAF_ASSIGN(const sockaddr_un address, address_of(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error("socket", errno);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error(path, errno);
  return socket;
}

bool wait_for(int fd, short events, int timeout_ms) {
  pollfd one{fd, events, 0};
  int ready = 0;
  do ready = poll(&one, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// Up to the newline, without it; nothing if the other end is slow, gone or says too much.
std::optional<std::string> read_line(int fd, int timeout_ms) {
  std::string line;
  char chunk[4096];
  while (line.size() < kLineMax && wait_for(fd, POLLIN, timeout_ms)) {
    const ssize_t size = read(fd, chunk, sizeof chunk);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    line.append(chunk, static_cast<std::size_t>(size));
    if (const std::size_t end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      return line;
    }
  }
  return std::nullopt;
}

Status write_line(int fd, std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno_error("the helper's socket", errno);
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

std::string user_name(uid_t user) {
  const passwd* entry = getpwuid(user);
  return entry == nullptr ? std::to_string(user) : entry->pw_name;
}

bool in_group(uid_t user, gid_t first, const std::vector<gid_t>& allowed) {
  const passwd* entry = getpwuid(user);
  std::vector<gid_t> groups(64);
  auto count = static_cast<int>(groups.size());
  if (entry == nullptr || getgrouplist(entry->pw_name, first, groups.data(), &count) < 0)
    groups = {first};
  else
    groups.resize(static_cast<std::size_t>(count));
  return std::ranges::any_of(
      groups, [&](gid_t group) { return std::ranges::find(allowed, group) != allowed.end(); });
}

Status check_peer(int connection, const HelperOptions& options, std::string& who) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return errno_error("the helper's socket", errno);
  who = fmt::format("{} (process {})", user_name(peer.uid), peer.pid);
  if (peer.uid == 0 || peer.uid == geteuid() ||
      std::ranges::find(options.users, peer.uid) != options.users.end() ||
      in_group(peer.uid, peer.gid, options.groups))
    return {};
  return Error{ErrorCode::permission_denied,
               fmt::format("user {} may not cut cards here; `sheaf slices daemon` takes "
                           "--allow-user and --allow-group",
                           user_name(peer.uid))};
}

Result<ChangeReport> change_here(const std::string& folder, const MigRequest& request, int wait_ms,
                                 const std::string& who) {
  SHEAF_ASSIGN(const Nvml nvml, Nvml::open());
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, wait_ms, who));
  return carry_out(nvml, journal, request);
}

std::string to_text(const Result<ChangeReport>& result) {
  nlohmann::json json;
  if (result.ok())
    json = {{"steps", result->steps}, {"owed", result->owed}};
  else
    json = {{"code", static_cast<int>(result.error().code)}, {"error", result.error().message}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<ChangeReport> parse_answer(const std::string& line) {
  try {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("error"))
      return Error{static_cast<ErrorCode>(json.at("code").get<int>()),
                   json.at("error").get<std::string>()};
    ChangeReport report;
    json.at("steps").get_to(report.steps);
    json.at("owed").get_to(report.owed);
    return report;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt, fmt::format("the helper's answer: {}", thrown.what())};
  }
}

// What a helper that was cut off left behind. Without NVML there is nothing to put back yet.
Status recover(const std::string& folder) {
  const auto nvml = Nvml::open();
  if (!nvml.ok()) {
    write_log(LogLevel::warn, nvml.error().message);
    return {};
  }
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, kLockWaitMs, "sheaf slices daemon"));
  SHEAF_ASSIGN(const auto undone, undo_unfinished(*nvml, journal));
  if (undone) write_log(LogLevel::warn, *undone);
  return {};
}

}  // namespace

Result<SliceHelper> SliceHelper::start(const HelperOptions& options) {
  if (mkdir(options.folder.c_str(), 0755) != 0 && errno != EEXIST)
    return errno_error(options.folder, errno);
  const std::string path = socket_path(options.folder);
  if (connect_to(path).ok())
    return Error{ErrorCode::unavailable, fmt::format("a helper listens at {} already", path)};
  if (const Status recovered = recover(options.folder); !recovered.ok())
    write_log(LogLevel::error, recovered.error().message);
  SHEAF_ASSIGN(const sockaddr_un address, address_of(path));
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return errno_error("socket", errno);
  unlink(path.c_str());  // of a helper that is gone
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error(path, errno);
  // Everybody may connect; who may ask is decided by what the kernel says of them.
  if (chmod(path.c_str(), 0666) != 0 || listen(listener.get(), 16) != 0)
    return errno_error(path, errno);
  return SliceHelper(options, std::move(listener));
}

SliceHelper::~SliceHelper() {
  if (listener_) unlink(socket_path(options_.folder).c_str());
}

Status SliceHelper::serve(int stop_fd) {
  while (true) {
    pollfd ends[2] = {{listener_.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (poll(ends, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error("poll", errno);
    }
    if (ends[1].revents != 0) return {};
    Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_one(std::move(connection));
  }
}

void SliceHelper::serve_one(Fd connection) {
  std::string who;
  const Status allowed = check_peer(connection.get(), options_, who);
  const auto line = read_line(connection.get(), kClientMs);
  if (!line) return;
  auto request = parse_request(*line);
  Result<ChangeReport> result = ChangeReport{};
  if (!allowed.ok())
    result = allowed.error();
  else if (!request.ok())
    result = request.error();
  else
    result = change_here(options_.folder, *request, kLockWaitMs,
                         fmt::format("sheaf slices daemon, for {}", who));
  write_log(
      result.ok() ? LogLevel::info : LogLevel::warn,
      fmt::format(
          "{} asked: {}: {}", who, request.ok() ? describe(*request) : "something unreadable",
          result.ok() ? fmt::format("{} steps", result->steps.size()) : result.error().message));
  // A client that is gone by now finds the change made all the same.
  (void)write_line(connection.get(), to_text(result));
}

Result<ChangeReport> request_change(const std::string& folder, const MigRequest& request,
                                    int wait_ms, const std::string& who) {
  const auto helper = connect_to(socket_path(folder));
  if (!helper.ok()) return change_here(folder, request, wait_ms, who);
  SHEAF_TRY(write_line(helper->get(), to_text(request)));
  const auto line = read_line(helper->get(), kAnswerMs);
  if (!line)
    return Error{ErrorCode::io,
                 "the helper ended before it answered; what it had begun is undone when it starts "
                 "again: `sheaf slices` shows what is"};
  return parse_answer(*line);
}

}  // namespace sheaf::slices
