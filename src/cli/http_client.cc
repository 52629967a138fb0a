#include "cli/http_client.h"

#include <fmt/core.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/flag_value.h"

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::uint64_t kAnswerBytesMax = 1ull << 30;
constexpr std::size_t kReadBytes = 64u << 10;

template <class Fields>
std::int64_t number_field(const Fields& fields, std::string_view name, std::int64_t otherwise) {
  const auto found = fields.find(name);
  if (found == fields.end()) return otherwise;
  std::int64_t number = otherwise;
  std::from_chars(found->value().data(), found->value().data() + found->value().size(), number);
  return number;
}

// The parser's errors, except those of an answer that ended too early.
bool is_other_protocol(const beast::error_code& error) {
  return error.category() == beast::error_code(http::error::bad_version).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

}  // namespace

std::string ServerAddress::text() const {
  return host.find(':') == host.npos ? fmt::format("{}:{}", host, port)
                                     : fmt::format("[{}]:{}", host, port);
}

Result<ServerAddress> parse_server_address(std::string_view text, std::uint16_t default_port) {
  const std::string_view given = text;
  if (text.starts_with("http://")) text.remove_prefix(7);
  while (text.ends_with('/')) text.remove_suffix(1);
  ServerAddress address{.host = "127.0.0.1", .port = default_port};

  std::size_t colon = text.rfind(':');
  const std::size_t bracket = text.rfind(']');
  if (bracket != text.npos && colon != text.npos && colon < bracket) colon = text.npos;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!host.empty()) address.host = host;
  if (colon != text.npos) {
    const auto port = parse_whole_number(text.substr(colon + 1), 1, 65535);
    if (!port.ok())
      return Error{ErrorCode::invalid_argument,
                   fmt::format("'{}' is not HOST:PORT: {}", given, port.error().message)};
    address.port = static_cast<std::uint16_t>(*port);
  }
  return address;
}

HttpConnection::HttpConnection(asio::any_io_executor executor, ServerAddress address,
                               std::string api_key, TimeUs timeout_us)
    : address_(std::move(address)),
      api_key_(std::move(api_key)),
      timeout_us_(timeout_us),
      stream_(std::move(executor)) {
  buffer_.reserve(kReadBytes);
}

asio::awaitable<Result<HttpAnswer>> HttpConnection::post(std::string_view target,
                                                         const std::string& json) {
  return run("POST", target, json);
}

asio::awaitable<Result<HttpAnswer>> HttpConnection::get(std::string_view target) {
  static const std::string kNothing;
  return run("GET", target, kNothing);
}

asio::awaitable<Result<HttpAnswer>> HttpConnection::run(std::string_view method,
                                                        std::string_view target,
                                                        const std::string& json) {
  for (bool kept = open_;; kept = false) {
    if (!open_) {
      Status connected = co_await connect();
      if (!connected.ok()) co_return std::move(connected).error();
    }
    Result<HttpAnswer> answer = co_await exchange(method, target, json);
    if (!answer.ok()) {
      open_ = false;
      stream_.close();
      buffer_.clear();
    }
    // A server may close a kept connection whenever it is idle; to ask twice changes nothing there.
    if (answer.ok() || !kept || answer.error().code != ErrorCode::io) co_return answer;
  }
}

asio::awaitable<Status> HttpConnection::connect() {
  asio::ip::tcp::resolver resolver(stream_.get_executor());
  auto [resolve_error, endpoints] =
      co_await resolver.async_resolve(address_.host, std::to_string(address_.port), kAwait);
  if (resolve_error)
    co_return Error{ErrorCode::io,
                    fmt::format("cannot find {}: {}", address_.host, resolve_error.message())};
  stream_.expires_after(std::chrono::microseconds(timeout_us_));
  auto [error, endpoint] = co_await stream_.async_connect(endpoints, kAwait);
  if (error)
    co_return Error{ErrorCode::io,
                    fmt::format("cannot connect to {}: {}", address_.text(), error.message())};
  stream_.socket().set_option(asio::ip::tcp::no_delay(true));
  open_ = true;
  co_return Status{};
}

std::string HttpConnection::request_of(std::string_view method, std::string_view target,
                                       const std::string& json) const {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nhost: {}\r\nuser-agent: sheaf\r\n", method,
                                 target, address_.text());
  if (!api_key_.empty()) text += "authorization: Bearer " + api_key_ + "\r\n";
  if (method == "POST")
    text += fmt::format("content-type: application/json\r\ncontent-length: {}\r\n", json.size());
  text += "\r\n";
  return text += json;
}

Error HttpConnection::failure(const beast::error_code& error) const {
  if (is_other_protocol(error))
    return {ErrorCode::io, address_.text() + " answers no HTTP/1.1; is this the gRPC port?"};
  if (error == beast::error::timeout)
    return {ErrorCode::deadline_exceeded, fmt::format("{} did not answer within {}",
                                                      address_.text(), show_duration(timeout_us_))};
  return {ErrorCode::io, fmt::format("{}: {}", address_.text(), error.message())};
}

asio::awaitable<beast::error_code> HttpConnection::read(AnswerParser& parser) {
  beast::error_code error;
  while (!parser.is_done()) {
    if (buffer_.size() > 0) {
      buffer_.consume(parser.put(buffer_.data(), error));
      if (!error) continue;
      if (error != http::error::need_more) break;
    }
    const auto [read_error, read] =
        co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
    error = read_error;
    if (read_error == asio::error::eof) {
      error = http::error::end_of_stream;  // before the first byte of an answer
      if (parser.got_some()) parser.put_eof(error);
    }
    if (error) break;
    buffer_.commit(read);
  }
  co_return error;
}

asio::awaitable<Result<HttpAnswer>> HttpConnection::exchange(std::string_view method,
                                                             std::string_view target,
                                                             const std::string& json) {
  const std::string request = request_of(method, target, json);
  stream_.expires_after(std::chrono::microseconds(timeout_us_));
  const auto [write_error, written] =
      co_await asio::async_write(stream_, asio::buffer(request), kAwait);
  if (write_error) co_return failure(write_error);

  AnswerParser parser;
  parser.eager(true);
  parser.body_limit(kAnswerBytesMax);
  if (const beast::error_code error = co_await read(parser)) co_return failure(error);
  stream_.expires_never();

  const auto& response = parser.get();
  HttpAnswer answer{
      .status = response.result_int(),
      .tokens = static_cast<std::uint64_t>(number_field(response, "x-compute-tokens", 0)),
      .cut_texts = static_cast<std::uint64_t>(number_field(response, "x-sheaf-cut-texts", 0)),
      .compute_us = number_field(response, "x-sheaf-compute-us", -1)};
  if (!response.keep_alive()) {
    open_ = false;
    stream_.close();
    buffer_.clear();
  }
  answer.body = std::move(parser.get().body());
  co_return answer;
}

Result<HttpAnswer> get_once(const ServerAddress& address, const std::string& api_key,
                            TimeUs timeout_us, std::string_view target) {
  boost::asio::io_context io{1};
  HttpConnection connection(io.get_executor(), address, api_key, timeout_us);
  std::optional<Result<HttpAnswer>> said;
  boost::asio::co_spawn(
      io, [&]() -> boost::asio::awaitable<void> { said = co_await connection.get(target); },
      boost::asio::detached);
  io.run();
  return std::move(*said);
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kPlain = "-._~/";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       kPlain.find(c) != kPlain.npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Error error_of(const HttpAnswer& answer) {
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  std::string message;
  if (body.is_object() && body.contains("error")) {
    const auto& error = body["error"];
    if (error.is_string()) message = error.get<std::string>();
    if (error.is_object() && error.contains("message") && error["message"].is_string())
      message = error["message"].get<std::string>();
  }
  return Error{answer.status == 404 ? ErrorCode::not_found : ErrorCode::io,
               fmt::format("HTTP {}{}{}", answer.status, message.empty() ? "" : ": ", message)};
}

}  // namespace sheaf::cli
