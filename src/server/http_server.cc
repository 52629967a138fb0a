#include "server/http_server.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "server/bind_listener.h"
#include "server/http_head.h"

namespace sheaf::server {
namespace {

using boost::system::error_code;

constexpr int kBacklog = 1024;
constexpr std::chrono::milliseconds kAcceptPause{100};  // when descriptors run out

}  // namespace

HttpServer::HttpServer(asio::io_context& io, std::shared_ptr<const api::Api> api,
                       const ServerOptions& options)
    : io_(io),
      api_(std::move(api)),
      options_(options),
      bodies_(options.bodies_bytes_max),
      acceptor_(asio::make_strand(io)),
      drain_timer_(acceptor_.get_executor()) {}

Result<std::shared_ptr<HttpServer>> HttpServer::start(asio::io_context& io,
                                                      std::shared_ptr<const api::Api> api,
                                                      const ServerOptions& options) {
  std::shared_ptr<HttpServer> server(new HttpServer(io, std::move(api), options));
  SHEAF_TRY(server->listen());
  asio::co_spawn(server->acceptor_.get_executor(), server->accept(), asio::detached);
  return server;
}

Status HttpServer::listen() {
  SHEAF_TRY(bind_listener(acceptor_, options_.host, options_.http_port, "--port"));
  error_code ec;
  if (acceptor_.listen(kBacklog, ec))
    return Error{ErrorCode::io, fmt::format("cannot listen on {} port {}: {}", options_.host,
                                            options_.http_port, ec.message())};
  port_ = acceptor_.local_endpoint(ec).port();
  return {};
}

Awaitable<> HttpServer::accept() {
  const auto self = shared_from_this();
  Timer pause(acceptor_.get_executor());
  while (acceptor_.is_open()) {
    error_code ec;
    Socket socket(asio::make_strand(io_));
    co_await acceptor_.async_accept(socket, asio::redirect_error(kAwait, ec));
    if (!ec) {
      admit(std::move(socket));
    } else if (acceptor_.is_open()) {
      log(LogLevel::warn, "cannot accept a connection: {}", ec.message());
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(kAwait, ec));
    }
  }
}

void HttpServer::admit(Socket socket) {
  std::unique_lock lock(mutex_);
  if (draining_) return;
  if (open_.size() >= options_.connections_max) {
    lock.unlock();
    return refuse(std::move(socket));
  }
  const std::uint64_t id = next_id_++;
  auto connection = std::make_shared<HttpConnection>(std::move(socket), api_, options_, bodies_);
  open_.emplace(id, connection);
  lock.unlock();
  connection->start([self = shared_from_this(), id] { self->forget(id); });
}

// One attempt to say why: nothing is kept for a connection beyond the cap.
void HttpServer::refuse(Socket socket) {
  const Error error{ErrorCode::unavailable,
                    fmt::format("all {} connections are in use", options_.connections_max), "", 1};
  const api::HttpResponse response = api_->refuse({}, error);
  std::string head;
  write_head(head, response, false);
  const std::array<asio::const_buffer, 2> pieces = {asio::buffer(head),
                                                    asio::buffer(response.body)};
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(pieces, ignored);
  socket.shutdown(Socket::shutdown_send, ignored);
}

void HttpServer::forget(std::uint64_t id) {
  std::function<void()> drained;
  {
    std::lock_guard lock(mutex_);
    open_.erase(id);
    if (draining_ && open_.empty()) drained = std::exchange(drained_, nullptr);
  }
  if (!drained) return;
  asio::dispatch(acceptor_.get_executor(),
                 [self = shared_from_this()] { self->drain_timer_.cancel(); });
  drained();
}

std::size_t HttpServer::connections() const {
  std::lock_guard lock(mutex_);
  return open_.size();
}

void HttpServer::close_acceptor() {
  asio::dispatch(acceptor_.get_executor(), [self = shared_from_this()] {
    error_code ignored;
    self->acceptor_.close(ignored);
  });
}

void HttpServer::arm_drain_timer() {
  asio::dispatch(acceptor_.get_executor(), [self = shared_from_this()] {
    self->drain_timer_.expires_after(std::chrono::milliseconds(self->options_.drain_timeout_ms));
    self->drain_timer_.async_wait([self](error_code ec) {
      if (ec) return;
      log(LogLevel::warn, "{} connections were not done {} ms after the drain began; they are cut",
          self->connections(), self->options_.drain_timeout_ms);
      self->stop();
    });
  });
}

void HttpServer::drain(std::function<void()> done) {
  close_acceptor();
  std::unique_lock lock(mutex_);
  draining_ = true;
  if (open_.empty()) {
    lock.unlock();
    asio::post(io_, std::move(done));
    return;
  }
  drained_ = std::move(done);
  arm_drain_timer();
  for (const auto& [id, weak] : open_) {
    if (const auto connection = weak.lock()) connection->drain();
  }
}

void HttpServer::stop() {
  close_acceptor();
  std::lock_guard lock(mutex_);
  draining_ = true;
  for (const auto& [id, weak] : open_) {
    if (const auto connection = weak.lock()) connection->stop();
  }
}

}  // namespace sheaf::server
