#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

// For the server's tests.
namespace sheaf::server {

struct TestResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string head, body;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// A blocking HTTP client that sends exactly the bytes it is given. Reads give up after 60 s, which
// sanitizers on a busy machine need.
class TestClient {
 public:
  explicit TestClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{60, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }

  // False if the peer closed meanwhile.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(std::size_t(sent));
    }
    return true;
  }

  // The next answer; nothing if the connection ended or stayed silent. `head_only` after HEAD.
  std::optional<TestResponse> read(bool head_only = false) {
    std::size_t end;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return std::nullopt;
    }
    TestResponse response;
    response.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    parse_head(response);
    if (response.status == 100 || head_only) return response;
    const std::string length = response.header("content-length");
    const std::size_t bytes = length.empty() ? 0 : std::stoul(length);
    while (input_.size() < bytes) {
      if (!fill()) return std::nullopt;
    }
    response.body = input_.substr(0, bytes);
    input_.erase(0, bytes);
    return response;
  }

  std::optional<TestResponse> ask(std::string_view bytes) {
    send(bytes);
    return read();
  }

  // True once the server has closed its side.
  bool closed() {
    while (input_.empty() && fill()) {
    }
    return input_.empty() && ended_;
  }
  // The same, whatever it sends before.
  bool ends() {
    while (fill()) input_.clear();
    return ended_;
  }
  void close() { fd_.reset(); }

 private:
  bool fill() {
    char bytes[65536];
    const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
    if (got <= 0) return false;
    input_.append(bytes, std::size_t(got));
    return true;
  }

  static void parse_head(TestResponse& response) {
    response.status = std::stoi(response.head.substr(9, 3));
    for (std::size_t at = response.head.find("\r\n") + 2; at < response.head.size();) {
      const std::size_t end = response.head.find("\r\n", at);
      const std::string line = response.head.substr(at, end - at);
      std::string name = line.substr(0, line.find(": "));
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      response.headers[name] = line.substr(std::min(line.size(), name.size() + 2));
      at = end + 2;
    }
  }

  Fd fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string input_;
};

// "POST path", a JSON body, and more header lines ("Name: value\r\n").
inline std::string post(std::string_view path, std::string_view body, std::string_view more = {}) {
  std::string out = "POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n";
  out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size());
  return out.append("\r\n").append(more).append("\r\n").append(body);
}
inline std::string get(std::string_view path, std::string_view more = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n" + std::string(more) + "\r\n";
}

}  // namespace sheaf::server
