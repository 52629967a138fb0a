#include "cli/service.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "api/example.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/model_files.h"

namespace sheaf::cli {
namespace {

constexpr auto kReadyPoll = std::chrono::milliseconds(10);

std::string url_host(const std::string& host) {
  return host.find(':') == host.npos ? host : "[" + host + "]";
}

// An address that a client on this machine can use.
std::string client_host(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  return host == "::" ? "[::1]" : url_host(host);
}

// What the router's replicas have computed on a card or MIG device; `router` outlives the answer.
slices::BusyTime busy_time_of(const router::Router& router) {
  return [&router](const std::string& slice) -> std::optional<TimeUs> {
    std::optional<TimeUs> busy_us;
    for (const router::ReplicaView& replica : router.replicas())
      if (slices::is_slice_of(replica.slice, slice))
        busy_us = busy_us.value_or(0) + replica.status.busy_us;
    return busy_us;
  };
}

// Carries out what follows from an Xid; `router` outlives it.
std::function<void(const slices::XidOrder&)> carry_out_by(router::Router& router) {
  return [&router](const slices::XidOrder& order) {
    router.card_failed({.gpu = order.event.gpu,
                        .gpu_instance = order.event.gpu_instance,
                        .compute_instance = order.event.compute_instance,
                        .for_good = order.reaction != slices::XidReaction::restart_replica,
                        .what = fmt::format("Xid {}", order.event.xid)});
  };
}

std::map<std::string, std::string> folders_of(const router::RouterOptions& options) {
  std::map<std::string, std::string> folders;
  for (const router::ModelConfig& model : options.models) folders[model.name] = model.folder;
  return folders;
}

void log_model(const router::ModelInfo& model) {
  log(LogLevel::info, "model {}: {}; {}", model.name, model::kind_of(model.spec),
      fmt::join(describe_outputs(model.spec), "; "));
  for (const std::string& note : model::notes_on(model.spec))
    log(LogLevel::warn, "model {}: {}", model.name, note);
}

}  // namespace

Service::Service(std::uint32_t threads, TimeUs started_us)
    : threads_(threads),
      started_us_(started_us),
      io_(static_cast<int>(threads)),
      strand_(boost::asio::make_strand(io_)),
      signals_(strand_, SIGTERM, SIGINT),
      ready_timer_(strand_),
      leases_(slices::default_slices_folder()) {
  // The terminal was closed. Under nohup it is ignored, and stays so.
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) signals_.add(SIGHUP);
}

Service::~Service() {
  leases_.close();  // these two answer through the listeners
  plans_.reset();
  // Listeners first: their requests end in the router, whose destructor then ends the replicas.
  server_.reset();
  gpus_.reset();  // asks the router
  router_.reset();
}

Result<std::unique_ptr<Service>> Service::create(router::RouterOptions router_options,
                                                 server::ServerOptions server_options,
                                                 std::uint32_t threads, TimeUs started_us) {
  std::unique_ptr<Service> service(new Service(threads, started_us));
  server_options.api.leases = &service->leases_;
  service->plans_ = std::make_unique<PlanService>(folders_of(router_options));
  server_options.api.plan = [plans = service->plans_.get()](std::string question,
                                                            PlanService::Done done) {
    plans->ask(std::move(question), std::move(done));
  };
  service->options_ = server_options;
  SHEAF_ASSIGN(service->router_,
               router::Router::create(service->io_, std::move(router_options), service->metrics_));
  for (const router::ModelInfo* model : service->router_->models()) log_model(*model);
  service->gpus_ = std::make_unique<telemetry::GpuWatch>(
      service->metrics_,
      telemetry::GpuWatchOptions{.busy_time = busy_time_of(*service->router_),
                                 .carry_out = carry_out_by(*service->router_),
                                 .card_is_well = [router = service->router_.get()](unsigned gpu) {
                                   router->card_is_well(gpu);
                                 }});
  SHEAF_ASSIGN(service->server_,
               server::Server::start(service->io_, *service->router_, service->metrics_,
                                     std::move(server_options)));
  return service;
}

std::string Service::http_address() const {
  return fmt::format("http://{}:{}", client_host(options_.host), server_->http_port());
}

std::string Service::grpc_address() const {
  return fmt::format("{}:{}", client_host(options_.host), server_->grpc_port());
}

void Service::announce_addresses() const {
  fmt::print("{{\"http\": {}, \"grpc\": {}, \"pid\": {}}}\n",
             json_quote(fmt::format("http://{}:{}", url_host(options_.host), server_->http_port())),
             json_quote(fmt::format("{}:{}", url_host(options_.host), server_->grpc_port())),
             ::getpid());
  std::fflush(stdout);
}

void Service::announce_when_ready() {
  if (!router_->ready()) {
    ready_timer_.expires_after(kReadyPoll);
    ready_timer_.async_wait([this](boost::system::error_code error) {
      if (!error) announce_when_ready();
    });
    return;
  }
  const double seconds = static_cast<double>(monotonic_us() - started_us_) / 1e6;
  if (log_is_json() || !log_enabled(LogLevel::info))
    return log(LogLevel::info, "ready after {:.2f} s: {} (gRPC {})", seconds, http_address(),
               grpc_address());
  // Not fmt::print(): it throws where standard error cannot be written.
  const std::string banner =
      fmt::format("\nsheaf is ready after {:.2f} s: {} (gRPC {})\n{}\n", seconds, http_address(),
                  grpc_address(),
                  api::curl_examples(*router_, http_address(),
                                     options_.api.api_keys.empty() ? "" : "$SHEAF_API_KEY"));
  std::fputs(banner.c_str(), stderr);
}

void Service::wait_for_signal() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (draining_) {
      log(LogLevel::warn, "SIG{} again: stopping at once", ::sigabbrev_np(signal));
      end_ = End::stopped_at_once;
      io_.stop();
      return;
    }
    draining_ = true;
    wait_for_signal();
    log(LogLevel::info,
        "SIG{}: finishing {} open requests, taking no new ones; another stops at once",
        ::sigabbrev_np(signal), router_->open_requests());
    drain();
  });
}

void Service::drain() {
  ready_timer_.cancel();
  leases_.close();
  server_->drain([this] { router_->drain([this] { io_.stop(); }); });
}

Service::End Service::run() {
  wait_for_signal();
  announce_addresses();
  announce_when_ready();
  std::vector<std::thread> threads;
  for (std::uint32_t i = 1; i < threads_; ++i) threads.emplace_back([this] { io_.run(); });
  io_.run();
  for (std::thread& thread : threads) thread.join();
  return end_;
}

}  // namespace sheaf::cli
