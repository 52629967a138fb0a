#include "server/http_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

#include "base/log.h"
#include "server/gzip.h"
#include "server/http_head.h"

namespace sheaf::server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kHeaderReadBytes = 8u << 10;  // most requests are one read
constexpr std::size_t kBodyReadBytes = 64u << 10;
constexpr std::size_t kBufferKeptBytes = 16u << 10;  // while a connection is idle
// The rest of a refused body is read and thrown away up to here, so that the connection can be
// kept; beyond it, closing is cheaper.
constexpr std::size_t kDiscardedBytesMax = 256u << 10;
constexpr std::uint32_t kLingerMs = 2'000;

std::string_view to_view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

HttpConnection::HttpConnection(Socket socket, std::shared_ptr<const api::Api> api,
                               const ServerOptions& options, BodyBudget& bodies)
    : socket_(std::move(socket)),
      api_(std::move(api)),
      options_(options),
      bodies_(bodies),
      timer_(socket_.get_executor()) {}

void HttpConnection::start(std::function<void()> over) {
  asio::co_spawn(
      socket_.get_executor(), run(),
      [self = shared_from_this(), over = std::move(over)](std::exception_ptr failure) {
        try {
          if (failure) std::rethrow_exception(failure);
        } catch (const std::exception& e) {  // memory ran out: this connection alone is lost
          log(LogLevel::error, "a connection ended by an exception: {}", e.what());
        }
        error_code ignored;
        self->timer_.cancel(ignored);
        self->socket_.close(ignored);
        over();
      });
}

void HttpConnection::drain() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->draining_ = true;
    error_code ignored;
    if (self->idle_) self->socket_.cancel(ignored);
  });
}

void HttpConnection::stop() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->draining_ = true;
    self->gone_ = true;
    error_code ignored;
    self->socket_.close(ignored);
    if (self->waiting_) self->answered_.set();
  });
}

Awaitable<> HttpConnection::run() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  After after = After::next_request;
  while (after == After::next_request) after = co_await serve_request();
  co_await close(after);
}

Awaitable<HttpConnection::After> HttpConnection::serve_request() {
  parser_.emplace();
  parser_->header_limit(std::uint32_t(options_.header_bytes_max));
  parser_->body_limit(boost::none);  // PaddedBody counts, after the chunks are decoded
  parser_->get().body().bytes_max = options_.body_bytes_max;
  parser_->get().body().share = BodyBudget::Share(bodies_);
  if (!co_await wait_for_request()) co_return After::close;
  received_us_ = monotonic_us();
  ++turn_;
  if (auto refusal = co_await read_header()) {
    if (!co_await write(*refusal, false)) co_return After::close;
    co_return After::close_gently;
  }
  if (!parser_->is_header_done()) co_return After::close;  // the client left
  std::optional<std::uint64_t> length;
  if (auto given = parser_->content_length()) length = *given;
  api::Api::Begun begun = api_->begin(request_view(), length);
  if (!begun.answer && length.value_or(0) > options_.body_bytes_max) {
    begun.answer = api_->refuse(
        begun.ticket,
        {ErrorCode::too_large, fmt::format("the body has {} bytes; at most {} are taken", *length,
                                           options_.body_bytes_max)});
  }
  if (begun.answer) co_return co_await refuse(*begun.answer);
  co_return co_await serve_body(std::move(begun));
}

Awaitable<HttpConnection::After> HttpConnection::serve_body(api::Api::Begun begun) {
  const bool expects =
      api::equal_ignoring_case(to_view(parser_->get()[http::field::expect]), "100-continue");
  if (expects && !parser_->is_done() && buffer_.size() == 0 &&
      !co_await write_all("HTTP/1.1 100 Continue\r\n\r\n", {})) {
    co_return After::close;
  }
  if (auto refusal = co_await read_body(begun.ticket)) {
    if (!co_await write(*refusal, false)) co_return After::close;
    co_return After::close_gently;
  }
  if (!parser_->is_done()) co_return After::close;
  std::optional<api::HttpResponse> response = decode_body(begun.ticket);
  if (!response) response = co_await answer(begun.ticket);
  if (!response) co_return After::close;
  const bool keep = keep_alive();
  if (!co_await write(*response, keep)) co_return After::close;
  co_return keep ? After::next_request : After::close;
}

// The first byte of a request; false if none will come.
Awaitable<bool> HttpConnection::wait_for_request() {
  if (buffer_.size() > 0) co_return true;
  if (draining_) co_return false;
  if (buffer_.capacity() > kBufferKeptBytes) buffer_ = boost::beast::flat_buffer();
  set_deadline(options_.idle_timeout_ms);
  idle_ = true;
  const bool filled = co_await fill(kHeaderReadBytes);
  idle_ = false;
  clear_deadline();
  co_return filled;
}

// Nothing if the header is there, or the client is not; else what to answer.
Awaitable<std::optional<api::HttpResponse>> HttpConnection::read_header() {
  while (!parser_->is_header_done()) {
    if (buffer_.size() > 0) {
      error_code ec;
      buffer_.consume(parser_->put(buffer_.data(), ec));
      if (ec == http::error::header_limit) {
        co_return api_->refuse(
            {},
            {ErrorCode::too_large,
             fmt::format("the header is larger than {} bytes", options_.header_bytes_max)},
            431);
      }
      if (ec && ec != http::error::need_more) {
        co_return api_->refuse(
            {}, {ErrorCode::invalid_argument, "this is not an HTTP/1.1 request: " + ec.message()});
      }
      if (!ec) continue;
    }
    // Only a header that comes in pieces costs a deadline.
    if (deadline_us_ == kNever) set_deadline(options_.header_timeout_ms);
    if (co_await fill(kHeaderReadBytes)) continue;
    if (!timed_out_) break;
    co_return api_->refuse(
        {},
        {ErrorCode::invalid_argument,
         fmt::format("the header did not arrive within {} ms", options_.header_timeout_ms)},
        408);
  }
  clear_deadline();
  if (parser_->is_header_done()) co_return refuse_unknown_framing();
  co_return std::nullopt;
}

// Where the body ends is unknown in any coding but chunked: what follows might be read as requests
// that a proxy before us took for a body.
std::optional<api::HttpResponse> HttpConnection::refuse_unknown_framing() {
  const auto& message = parser_->get();
  const std::string_view coding = to_view(message[http::field::transfer_encoding]);
  if (message.count(http::field::transfer_encoding) == 0 ||
      api::equal_ignoring_case(coding, "chunked")) {
    return std::nullopt;
  }
  return api_->refuse({},
                      {ErrorCode::unsupported,
                       fmt::format("transfer encoding \"{}\" is not taken; chunked is", coding)},
                      501);
}

// Nothing if the body is there, or the client is not; else what to answer.
Awaitable<std::optional<api::HttpResponse>> HttpConnection::read_body(
    const api::Api::Ticket& ticket) {
  while (!parser_->is_done()) {
    if (buffer_.size() > 0) {
      error_code ec;
      buffer_.consume(parser_->put(buffer_.data(), ec));
      if (ec == http::error::body_limit) {
        co_return api_->refuse(
            ticket, {ErrorCode::too_large,
                     fmt::format("the body is larger than {} bytes", options_.body_bytes_max)});
      }
      if (ec == boost::system::errc::not_enough_memory) co_return refuse_for_memory(ticket);
      if (ec && ec != http::error::need_more) {
        co_return api_->refuse(
            ticket, {ErrorCode::invalid_argument, "the body's framing is broken: " + ec.message()},
            400);
      }
      if (!ec) continue;
      // The parser takes body bytes as they come; what it leaves is framing that has not ended.
      if (buffer_.size() > options_.header_bytes_max) {
        co_return api_->refuse(
            ticket,
            {ErrorCode::too_large, fmt::format("a chunk's extension or the trailers are larger "
                                               "than {} bytes",
                                               options_.header_bytes_max)});
      }
    }
    if (deadline_us_ == kNever) set_deadline(options_.body_timeout_ms);
    if (co_await fill(kBodyReadBytes)) continue;
    if (!timed_out_) co_return std::nullopt;
    co_return api_->refuse(
        ticket,
        {ErrorCode::invalid_argument,
         fmt::format("the body did not arrive within {} ms", options_.body_timeout_ms)},
        408);
  }
  clear_deadline();
  co_return std::nullopt;
}

api::HttpResponse HttpConnection::refuse_for_memory(const api::Api::Ticket& ticket) const {
  return api_->refuse(
      ticket,
      {ErrorCode::overloaded,
       fmt::format("the bodies of requests under way would hold more than {} bytes together",
                   bodies_.bytes_max()),
       "", 1});
}

// Undoes the content encoding; what to answer if that cannot be.
std::optional<api::HttpResponse> HttpConnection::decode_body(const api::Api::Ticket& ticket) {
  const std::string_view encoding = to_view(parser_->get()[http::field::content_encoding]);
  if (encoding.empty() || api::equal_ignoring_case(encoding, "identity")) return std::nullopt;
  if (!api::equal_ignoring_case(encoding, "gzip") &&
      !api::equal_ignoring_case(encoding, "x-gzip")) {
    return api_->refuse(ticket,
                        {ErrorCode::unsupported_media,
                         fmt::format("content encoding \"{}\" is not taken; gzip is", encoding)});
  }
  std::string& text = parser_->get().body().text;
  Result<std::string> plain = gunzip(text, options_.body_bytes_max);
  if (!plain.ok()) {
    return api_->refuse(ticket, plain.error(),
                        plain.error().code == ErrorCode::invalid_argument ? 400 : 0);
  }
  if (!parser_->get().body().share.hold(plain->size())) return refuse_for_memory(ticket);
  text = std::move(*plain);
  text.reserve(text.size() + api::kBodyPadding);
  return std::nullopt;
}

// Answers a request whose body is not wanted.
Awaitable<HttpConnection::After> HttpConnection::refuse(const api::HttpResponse& response) {
  const bool keep = keep_alive() && discards_cheaply();
  if (!co_await write(response, keep)) co_return After::close;
  if (!keep) co_return parser_->is_done() ? After::close : After::close_gently;
  // Named, since g++ 12 destroys a braced temporary of a co_await expression twice.
  const api::Api::Ticket nobodys;
  const auto broken = co_await read_body(nobodys);
  co_return broken || !parser_->is_done() ? After::close : After::next_request;
}

// A client that waits for "100 Continue" may or may not send its body after a refusal.
bool HttpConnection::discards_cheaply() const {
  if (parser_->is_done()) return true;
  if (parser_->get().count(http::field::expect) > 0) return false;
  const auto length = parser_->content_length();
  return length && *length <= kDiscardedBytesMax;
}

// Has the API answer the request; nothing if the client left meanwhile.
Awaitable<std::optional<api::HttpResponse>> HttpConnection::answer(const api::Api::Ticket& ticket) {
  response_.reset();
  const auto respond = [self = shared_from_this(), turn = turn_](api::HttpResponse response) {
    asio::dispatch(self->socket_.get_executor(),
                   [self, turn, response = std::move(response)]() mutable {
                     if (turn != self->turn_ || self->gone_) return;
                     self->response_ = std::move(response);
                     if (self->waiting_) self->answered_.set();
                   });
  };
  const core::RequestId request = api_->run(ticket, request_view(), respond);
  if (!response_ && !gone_) {
    waiting_ = true;
    watch_for_disconnect();
    co_await answered_.wait();
    waiting_ = false;
  }
  if (!response_ && request != 0) api_->cancel(request);
  co_return std::move(response_);
}

void HttpConnection::watch_for_disconnect() {
  if (watching_) return;
  watching_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->watching_ = false;
    if (!self->waiting_) return;
    if (ec || self->peer_closed()) {
      self->gone_ = true;
      self->answered_.set();
    }
  });
}

// The socket is readable, or was: at its end? Pipelined bytes end the watch, since they would make
// it fire without end.
bool HttpConnection::peer_closed() {
  char byte;
  const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return false;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    watch_for_disconnect();
    return false;
  }
  return true;
}

bool HttpConnection::keep_alive() const { return parser_->get().keep_alive() && !draining_; }

api::HttpRequest HttpConnection::request_view() {
  const auto& message = parser_->get();
  headers_.clear();
  for (const auto& field : message) {
    headers_.push_back({to_view(field.name_string()), to_view(field.value())});
  }
  return {to_view(message.method_string()), to_view(message.target()), headers_,
          message.body().text, received_us_};
}

Awaitable<bool> HttpConnection::write(const api::HttpResponse& response, bool keep_alive) {
  write_head(head_, response, keep_alive);
  const bool head_only = parser_->get().method() == http::verb::head;
  co_return co_await write_all(head_, head_only ? std::string_view() : response.body);
}

// Head and body leave in one call where the socket takes them.
Awaitable<bool> HttpConnection::write_all(std::string_view head, std::string_view body) {
  std::array<asio::const_buffer, 2> pieces = {asio::buffer(head.data(), head.size()),
                                              asio::buffer(body.data(), body.size())};
  error_code ec;
  std::size_t written = socket_.write_some(pieces, ec);
  if (ec && ec != asio::error::would_block) co_return false;
  if (written == head.size() + body.size()) co_return true;
  for (asio::const_buffer& piece : pieces) {
    const std::size_t skipped = std::min(written, piece.size());
    piece += skipped;
    written -= skipped;
  }
  set_deadline(options_.write_timeout_ms);
  co_await asio::async_write(socket_, pieces, asio::redirect_error(kAwait, ec));
  clear_deadline();
  co_return !ec;
}

// Reads some bytes more; false if the client is gone or the deadline passed.
Awaitable<bool> HttpConnection::fill(std::size_t bytes) {
  error_code ec;
  const std::size_t got =
      co_await socket_.async_read_some(buffer_.prepare(bytes), asio::redirect_error(kAwait, ec));
  buffer_.commit(got);
  co_return !ec;
}

// Gently: a client that is still sending must be able to read the answer, which a reset would
// destroy; so what it sends is read for a while.
Awaitable<> HttpConnection::close(After after) {
  error_code ec;
  socket_.shutdown(Socket::shutdown_send, ec);
  if (after == After::close_gently && !ec && !gone_) {
    timed_out_ = false;
    set_deadline(kLingerMs);
    do {
      buffer_.clear();
    } while (co_await fill(kBodyReadBytes));
  }
  socket_.close(ec);
}

void HttpConnection::set_deadline(std::uint32_t after_ms) {
  deadline_us_ = monotonic_us() + TimeUs{after_ms} * 1000;
  if (deadline_us_ < timer_fires_us_) arm_timer();
}

// A deadline that moves away costs no timer operation: the timer fires where it was set, sees that
// it is early, and waits for the rest.
void HttpConnection::arm_timer() {
  timer_fires_us_ = deadline_us_;
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(deadline_us_)));
  timer_.async_wait([weak = weak_from_this()](error_code ec) {
    const auto self = weak.lock();
    if (self && !ec) self->on_timer();
  });
}

void HttpConnection::on_timer() {
  timer_fires_us_ = kNever;
  if (deadline_us_ == kNever) return;
  if (monotonic_us() < deadline_us_) return arm_timer();
  timed_out_ = true;
  deadline_us_ = kNever;
  error_code ignored;
  socket_.cancel(ignored);
}

}  // namespace sheaf::server
