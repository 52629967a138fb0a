#include "hub/http.h"

#include <curl/curl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

namespace sheaf::hub {
namespace {

// Answers that are kept whole: JSON lists and error texts.
constexpr std::size_t kMaxBodyBytes = 64 << 20;
constexpr std::size_t kMaxHeaderLines = 200;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

struct HeaderListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderListDeleter>;

std::string url_part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

std::string_view trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// What the callbacks of one exchange share.
struct Exchange {
  HttpResponse response;
  const BodySink* sink = nullptr;
  Status sink_status;
  std::size_t header_lines = 0;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  auto& response = exchange.response;
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {  // also after "100 Continue" and a proxy's answer
    response = {};
    const auto space = line.find(' ');
    if (space != std::string_view::npos) response.status = std::atoi(data + space + 1);
    return size;
  }
  if (++exchange.header_lines > kMaxHeaderLines) return 0;
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  response.headers[name] = trim(line.substr(colon + 1));
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const int status = exchange.response.status;
  if (*exchange.sink && status >= 200 && status < 300) {
    exchange.sink_status = (*exchange.sink)(exchange.response, {data, size});
    return exchange.sink_status.ok() ? size : 0;
  }
  if (exchange.response.body.size() + size > kMaxBodyBytes) return 0;
  exchange.response.body.append(data, size);
  return size;
}

// libcurl itself reads no variable for the certificate store; companies' proxies need one. The
// names are those of requests, curl and OpenSSL, in the order in which huggingface_hub would meet
// them.
const char* certificate_file() {
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"})
    if (const char* value = std::getenv(name); value && *value) return value;
  return nullptr;
}

}  // namespace

struct HttpClient::Curl {
  CURL* handle = curl_easy_init();
  ~Curl() { curl_easy_cleanup(handle); }
};

HttpClient::HttpClient(Options options) : options_(std::move(options)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  curl_ = std::make_unique<Curl>();
}

HttpClient::~HttpClient() = default;

Result<HttpResponse> HttpClient::send(const HttpRequest& request, const BodySink& sink) {
  CURL* const curl = curl_->handle;
  if (curl == nullptr) return Error{ErrorCode::internal, "libcurl cannot be initialized"};
  curl_easy_reset(curl);  // keeps connections

  Exchange exchange;
  exchange.sink = &sink;
  HeaderList headers;
  const auto add_header = [&headers](const std::string& line) {
    headers.reset(curl_slist_append(headers.release(), line.c_str()));
  };
  // Compressed answers would have another length than the file.
  add_header("Accept-Encoding: identity");
  if (!options_.token.empty() && origin_of(request.url) == origin_of(options_.token_origin))
    add_header("Authorization: Bearer " + options_.token);
  if (request.first_byte > 0) add_header(fmt::format("Range: bytes={}-", request.first_byte));

  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.method == HttpRequest::Method::head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sheaf");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.stall_timeout_s));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout_s));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(request.whole_timeout_s));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  if (const char* file = certificate_file()) curl_easy_setopt(curl, CURLOPT_CAINFO, file);

  const CURLcode code = curl_easy_perform(curl);
  SHEAF_TRY(std::move(exchange.sink_status));
  if (code == CURLE_OK) return std::move(exchange.response);
  const std::string why = fmt::format("{}: {}", request.url.substr(0, request.url.find('?')),
                                      *reason ? reason : curl_easy_strerror(code));
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
      return Error{ErrorCode::unavailable, why};
    case CURLE_OPERATION_TIMEDOUT:
      if (exchange.response.status == 0) return Error{ErrorCode::unavailable, why};
      break;
    default:
      break;
  }
  exchange.response.broken = why;
  return std::move(exchange.response);
}

std::string_view HttpResponse::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

bool HttpResponse::is_transient() const {
  switch (status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return true;
    default:
      return !broken.empty();
  }
}

Result<std::string> resolve_url(const std::string& base, const std::string& location) {
  const Url url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) == CURLUE_OK &&
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK) {
    std::string out = url_part(url.get(), CURLUPART_URL);
    if (!origin_of(out).empty()) return out;
  }
  return Error{ErrorCode::io,
               fmt::format("{} redirects to '{}', which is not an http address", base, location)};
}

std::string origin_of(const std::string& text) {
  const Url url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return "";
  const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return "";
  std::string host = url_part(url.get(), CURLUPART_HOST);
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return scheme + "://" + host + ":" + url_part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

bool is_relative_location(std::string_view location) {
  if (location.starts_with("//")) return false;
  const auto end = location.find_first_of(":/?#");
  return end == std::string_view::npos || location[end] != ':';
}

}  // namespace sheaf::hub
