#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace sheaf::cli {

// Every operation ends in (error code, value); nothing throws.
inline constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

struct ServerAddress {
  std::string host;
  std::uint16_t port = 0;
  std::string text() const;  // "127.0.0.1:8080"
};

// "HOST:PORT", "HOST", ":PORT", "[::1]:PORT", with or without "http://".
Result<ServerAddress> parse_server_address(std::string_view text, std::uint16_t default_port);

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
  std::uint64_t tokens = 0;     // x-compute-tokens
  std::uint64_t cut_texts = 0;  // x-sheaf-cut-texts
  TimeUs compute_us = -1;       // x-sheaf-compute-us, stamped by the replica; -1: not said
};

// One kept-alive connection to a sheaf server, for commands. Opens it at the first request and
// again after the server closed it. One request at a time.
class HttpConnection {
 public:
  HttpConnection(boost::asio::any_io_executor executor, ServerAddress address, std::string api_key,
                 TimeUs timeout_us);

  // Errors are those of the connection (io, deadline_exceeded); an HTTP status is no error here.
  boost::asio::awaitable<Result<HttpAnswer>> post(std::string_view target, const std::string& json);
  boost::asio::awaitable<Result<HttpAnswer>> get(std::string_view target);

 private:
  using AnswerParser = boost::beast::http::response_parser<boost::beast::http::string_body>;

  boost::asio::awaitable<Result<HttpAnswer>> run(std::string_view method, std::string_view target,
                                                 const std::string& json);
  boost::asio::awaitable<Status> connect();
  boost::asio::awaitable<Result<HttpAnswer>> exchange(std::string_view method,
                                                      std::string_view target,
                                                      const std::string& json);
  std::string request_of(std::string_view method, std::string_view target,
                         const std::string& json) const;
  // Until the answer is whole. No error, then.
  boost::asio::awaitable<boost::beast::error_code> read(AnswerParser& parser);
  Error failure(const boost::beast::error_code& error) const;

  ServerAddress address_;
  std::string api_key_;
  TimeUs timeout_us_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  bool open_ = false;
};

// One GET on a connection of its own; waits for it.
Result<HttpAnswer> get_once(const ServerAddress& address, const std::string& api_key,
                            TimeUs timeout_us, std::string_view target);

// "org/a b" → "org/a%20b": what stands in a query is taken as it is meant.
std::string percent_encode(std::string_view text);

// The error that an answer other than 200 carries: its status and the message of its body.
Error error_of(const HttpAnswer& answer);

}  // namespace sheaf::cli
