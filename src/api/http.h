#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"

// A request and an answer as the dialects see them: no socket, no HTTP library.
namespace sheaf::api {

// Readable bytes that follow a request's body; the JSON parser loads whole vectors.
inline constexpr std::size_t kBodyPadding = 64;

struct Header {
  std::string_view name, value;
};

// Views into the connection's buffers: valid until the call that takes the request returns.
struct HttpRequest {
  std::string_view method;
  std::string_view target;  // as sent, with its query
  std::span<const Header> headers;
  std::string_view body;   // decoded (chunks, gzip); kBodyPadding readable bytes follow
  TimeUs received_us = 0;  // when its first byte was read

  std::string_view header(std::string_view name) const;  // any case; "" if absent
};

// A whole answer. Content-Length, Connection and Date are the server's.
struct HttpResponse {
  int status = 200;
  std::string_view content_type = "application/json";  // a literal
  std::string headers;                                 // "name: value\r\n" lines
  std::string body;

  // Control characters in `value` become spaces, so no text can add a header of its own.
  void add_header(std::string_view name, std::string_view value);
};

// Called exactly once, from any thread.
using Respond = std::function<void(HttpResponse)>;

bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace sheaf::api
