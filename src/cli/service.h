#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "cli/plan_service.h"
#include "router/router.h"
#include "server/server.h"
#include "slices/lease_clerk.h"
#include "telemetry/gpu_watch.h"
#include "telemetry/metrics.h"

namespace sheaf::cli {

// A router, its listeners and the watch over the machine's cards, with the threads and signals that
// drive them: what `sheaf serve` is
// once its settings have been read and its models found.
class Service {
 public:
  // How run() ended.
  enum class End { drained, stopped_at_once };

  // Starts the replicas and binds both ports; nothing is served before run().
  static Result<std::unique_ptr<Service>> create(router::RouterOptions router_options,
                                                 server::ServerOptions server_options,
                                                 std::uint32_t threads, TimeUs started_us);
  ~Service();

  // Writes the line with the addresses to standard output, serves until SIGTERM, SIGINT or SIGHUP,
  // drains; a second signal ends it at once. Replicas are killed and reaped by the destructor.
  End run();

 private:
  explicit Service(std::uint32_t threads, TimeUs started_us);
  void announce_addresses() const;
  void announce_when_ready();
  void wait_for_signal();
  void drain();
  std::string http_address() const;  // "http://127.0.0.1:8080", to be put into a client
  std::string grpc_address() const;

  std::uint32_t threads_;
  TimeUs started_us_;
  server::ServerOptions options_;
  telemetry::Metrics metrics_;
  // Destroyed after what runs on it, as handlers in its queue may refer to the parts below.
  boost::asio::io_context io_;
  // Of the handlers of this class: signals and the wait for readiness.
  boost::asio::strand<boost::asio::io_context::executor_type> strand_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer ready_timer_;
  bool draining_ = false;
  End end_ = End::drained;
  slices::LeaseClerk leases_;
  std::unique_ptr<PlanService> plans_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<telemetry::GpuWatch> gpus_;
  std::unique_ptr<server::Server> server_;
};

}  // namespace sheaf::cli
