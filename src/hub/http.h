#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::hub {

struct HttpRequest {
  enum class Method { get, head };

  Method method = Method::get;
  std::string url;
  std::uint64_t first_byte = 0;  // > 0 asks for the rest from there (Range)
  int whole_timeout_s = 0;       // connect to last byte; 0 = no limit
  int stall_timeout_s = 10;      // connecting, and then without a byte
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case, values trimmed
  std::string body;                            // empty where a sink took it
  std::string broken;                          // why the answer stopped early; empty if it is whole

  std::string_view header(const std::string& lower_case_name) const;
  bool succeeded() const { return broken.empty() && status >= 200 && status < 300; }
  // Worth another try: the connection broke, or 408, 429, 500, 502, 503, 504.
  bool is_transient() const;
};

// Takes the body of a 2xx answer as it arrives; `response` has status and headers. An error ends
// the transfer.
using BodySink = std::function<Status(const HttpResponse& response, std::string_view bytes)>;

// A small HTTP client: one connection pool, one thread at a time. It follows no redirect by itself:
// the callers' rules differ. The token goes to `token_origin` only (scheme, host and port),
// whatever URL is asked for.
class HttpClient {
 public:
  struct Options {
    std::string token;         // empty = none
    std::string token_origin;  // any URL of the origin that may see it
  };

  explicit HttpClient(Options options);
  ~HttpClient();

  // An error means that no answer came: host unknown, refused, timed out before the status line
  // (`unavailable`); or it is the sink's own error. Anything that the server said is a response.
  Result<HttpResponse> send(const HttpRequest& request, const BodySink& sink = nullptr);

 private:
  struct Curl;
  Options options_;
  std::unique_ptr<Curl> curl_;
};

// `location` of a redirect made absolute against `base`.
Result<std::string> resolve_url(const std::string& base, const std::string& location);
// "https://host:443", or "" for what is not an http(s) URL.
std::string origin_of(const std::string& url);
// True for "/path" and "path", false for "https://…" and "//host/…".
bool is_relative_location(std::string_view location);

}  // namespace sheaf::hub
