#pragma once

#include <grpcpp/health_check_service_interface.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "router/router.h"
#include "server/asio_types.h"

namespace sheaf::server {

// Tells gRPC's health service, every 100 ms, whether the router is ready; watchers hear of changes
// alone. Thread-safe.
class HealthPoll : public std::enable_shared_from_this<HealthPoll> {
 public:
  // `health` and `router` are not touched after stop(). `services` follow the router.
  HealthPoll(asio::io_context& io, const router::Router& router,
             grpc::HealthCheckServiceInterface& health, std::vector<std::string> services);
  void start();
  void stop();

 private:
  void look();
  void wait();

  Timer timer_;
  const std::vector<std::string> services_;
  std::mutex mutex_;              // guards what follows
  const router::Router* router_;  // null after stop()
  grpc::HealthCheckServiceInterface* health_;
};

}  // namespace sheaf::server
