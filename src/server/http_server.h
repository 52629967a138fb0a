#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "api/api.h"
#include "server/asio_types.h"
#include "server/body_budget.h"
#include "server/http_connection.h"
#include "server/server.h"

namespace sheaf::server {

// The HTTP listener and its connections. Thread-safe. Held by shared_ptr, since its coroutines keep
// it alive.
class HttpServer : public std::enable_shared_from_this<HttpServer> {
 public:
  static Result<std::shared_ptr<HttpServer>> start(asio::io_context& io,
                                                   std::shared_ptr<const api::Api> api,
                                                   const ServerOptions& options);
  std::uint16_t port() const { return port_; }
  std::size_t connections() const;

  // Stops accepting, lets every connection finish the request at hand; `done` is called once when
  // none is left, which ServerOptions::drain_timeout_ms enforces.
  void drain(std::function<void()> done);
  void stop();  // closes everything now

 private:
  HttpServer(asio::io_context& io, std::shared_ptr<const api::Api> api,
             const ServerOptions& options);
  Status listen();
  Awaitable<> accept();
  void admit(Socket socket);
  void refuse(Socket socket);
  void forget(std::uint64_t id);
  void close_acceptor();
  void arm_drain_timer();

  asio::io_context& io_;
  const std::shared_ptr<const api::Api> api_;
  const ServerOptions options_;
  BodyBudget bodies_;
  Acceptor acceptor_;
  Timer drain_timer_;  // on the acceptor's strand
  std::uint16_t port_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<std::uint64_t, std::weak_ptr<HttpConnection>> open_;
  std::uint64_t next_id_ = 0;
  bool draining_ = false;
  std::function<void()> drained_;
};

}  // namespace sheaf::server
