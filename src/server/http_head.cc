#include "server/http_head.h"

#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <ctime>

#include "base/clock.h"

namespace sheaf::server {
namespace {

std::string_view reason(int status) {
  if (status == 499) return "Client Closed Request";
  const auto text =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(unsigned(status)));
  return {text.data(), text.size()};
}

// "Mon, 23 Nov 2026 03:00:00 GMT", made once a second and thread.
std::string_view http_date() {
  thread_local std::int64_t made_s = -1;
  thread_local char text[32];
  thread_local std::size_t size = 0;
  if (const std::int64_t now_s = unix_seconds(); now_s != made_s) {
    const std::time_t time = now_s;
    std::tm utc{};
    gmtime_r(&time, &utc);
    size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made_s = now_s;
  }
  return {text, size};
}

}  // namespace

void write_head(std::string& out, const api::HttpResponse& response, bool keep_alive) {
  out.clear();
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", response.status,
                 reason(response.status));
  if (!response.content_type.empty()) {
    out.append("Content-Type: ").append(response.content_type).append("\r\n");
  }
  if (response.status != 204) {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", response.body.size());
  }
  out.append("Date: ").append(http_date()).append("\r\n");
  out.append(response.headers);
  out.append(keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

}  // namespace sheaf::server
