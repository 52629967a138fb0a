#include "server/server.h"

#include <atomic>
#include <utility>

#include "api/api.h"
#include "server/bind_listener.h"
#include "server/grpc_server.h"
#include "server/http_server.h"

namespace sheaf::server {
namespace {

// Calls `done` when both listeners have drained. Shared by the two callbacks.
class DrainBarrier {
 public:
  DrainBarrier(int parts, std::function<void()> done) : left_(parts), done_(std::move(done)) {}
  void arrive() {
    if (left_.fetch_sub(1) == 1) done_();
  }

 private:
  std::atomic<int> left_;
  std::function<void()> done_;
};

}  // namespace

class Server::Impl {
 public:
  Impl(asio::io_context& io, router::Router& router, telemetry::Metrics& metrics,
       ServerOptions options)
      : io_(io),
        options_(std::move(options)),
        api_(std::make_shared<api::Api>(router, metrics, options_.api)) {}

  ~Impl() {
    if (http_) http_->stop();
  }

  Status start() {
    SHEAF_ASSIGN(http_, HttpServer::start(io_, api_, options_));
    SHEAF_ASSIGN(grpc_, GrpcServer::start(io_, api_->context(), options_));
    return {};
  }

  void drain(std::function<void()> done) {
    auto barrier = std::make_shared<DrainBarrier>(2, std::move(done));
    http_->drain([barrier] { barrier->arrive(); });
    grpc_->drain([barrier] { barrier->arrive(); });
  }

  std::uint16_t http_port() const { return http_->port(); }
  std::uint16_t grpc_port() const { return grpc_->port(); }
  std::size_t connections() const { return http_->connections(); }

 private:
  asio::io_context& io_;
  const ServerOptions options_;
  const std::shared_ptr<const api::Api> api_;
  std::shared_ptr<HttpServer> http_;
  std::unique_ptr<GrpcServer> grpc_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Status Server::check_ports(const ServerOptions& options) {
  asio::io_context io;
  Acceptor http(asio::make_strand(io)), grpc(asio::make_strand(io));
  SHEAF_TRY(bind_listener(http, options.host, options.http_port, "--port"));
  return bind_listener(grpc, options.host, options.grpc_port, "--grpc-port");
}

Result<std::unique_ptr<Server>> Server::start(boost::asio::io_context& io, router::Router& router,
                                              telemetry::Metrics& metrics, ServerOptions options) {
  options.api.concurrent_requests_max = options.connections_max;
  auto impl = std::make_unique<Impl>(io, router, metrics, std::move(options));
  SHEAF_TRY(impl->start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::http_port() const { return impl_->http_port(); }
std::uint16_t Server::grpc_port() const { return impl_->grpc_port(); }
std::size_t Server::connections() const { return impl_->connections(); }
void Server::drain(std::function<void()> done) { impl_->drain(std::move(done)); }

}  // namespace sheaf::server
