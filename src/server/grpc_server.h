#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "api/context.h"
#include "base/result.h"
#include "server/server.h"

namespace sheaf::server {

// The gRPC listener: Arctic's service, TEI's, health, and both reflections. Runs on gRPC's own
// threads.
class GrpcServer {
 public:
  // `api_context` lives longer.
  static Result<std::unique_ptr<GrpcServer>> start(boost::asio::io_context& io,
                                                   const api::Context& api_context,
                                                   const ServerOptions& options);
  virtual ~GrpcServer() = default;  // ends everything at once
  virtual std::uint16_t port() const = 0;

  // Takes no new call, finishes those at hand, at most ServerOptions::drain_timeout_ms; then calls
  // `done` once on a thread of `io`.
  virtual void drain(std::function<void()> done) = 0;
};

}  // namespace sheaf::server
