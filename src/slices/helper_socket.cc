#include "slices/helper_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace sheaf::slices {
namespace {

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

bool is_ready(int fd, short events, int timeout_ms) {
  pollfd one{fd, events, 0};
  int ready = 0;
  do ready = poll(&one, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// The error that the line says, if it says one.
std::optional<Error> error_in(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("error")) return std::nullopt;
  return Error{static_cast<ErrorCode>(json.value("code", static_cast<int>(ErrorCode::internal))),
               json.value("error", "")};
}

}  // namespace

Result<Fd> listen_as_helper(const std::string& folder) {
  const std::string path = socket_path(folder);
  if (helper_listens(folder))
    return Error{ErrorCode::unavailable, fmt::format("a helper listens at {} already", path)};
  SHEAF_ASSIGN(const sockaddr_un address, address_of(path));
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return errno_error("socket", errno);
  unlink(path.c_str());  // of a helper that is gone
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error(path, errno);
  if (chmod(path.c_str(), 0666) != 0 || listen(listener.get(), 64) != 0)
    return errno_error(path, errno);
  return listener;
}

bool helper_listens(const std::string& folder) { return connect_to(socket_path(folder)).ok(); }

void forget_helper(const std::string& folder) { unlink(socket_path(folder).c_str()); }

std::optional<std::string> read_line(int socket, int timeout_ms) {
  const TimeUs late_us = monotonic_us() + TimeUs{timeout_ms} * 1000;
  const auto left_ms = [late_us] {
    return static_cast<int>(std::max<TimeUs>(late_us - monotonic_us(), 0) / 1000);
  };
  std::string line;
  char chunk[4096];
  while (line.size() < kLineMax && is_ready(socket, POLLIN, left_ms())) {
    const ssize_t size = read(socket, chunk, sizeof chunk);
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

Status write_line(int socket, std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno_error("the helper's socket", errno);
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

std::string error_line(const Error& error) {
  const nlohmann::json json = {{"code", static_cast<int>(error.code)}, {"error", error.message}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<std::optional<std::string>> ask_helper(const std::string& folder, const std::string& line,
                                              int timeout_ms) {
  const auto helper = connect_to(socket_path(folder));
  if (!helper.ok()) return std::optional<std::string>();
  SHEAF_TRY(write_line(helper->get(), line));
  const TimeUs asked_us = monotonic_us();
  auto answer = read_line(helper->get(), timeout_ms);
  if (!answer && monotonic_us() - asked_us >= TimeUs{timeout_ms} * 1000)
    return Error{ErrorCode::unavailable,
                 fmt::format("the helper has not answered for {} s; it may be at another's change",
                             timeout_ms / 1000)};
  if (!answer)
    return Error{ErrorCode::io,
                 "the helper ended before it answered; what it had begun is undone when it starts "
                 "again: `sheaf slices` shows what is"};
  if (auto error = error_in(*answer)) return std::move(*error);
  return answer;
}

}  // namespace sheaf::slices
