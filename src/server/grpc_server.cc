#include "server/grpc_server.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/arctic.h"
#include "api/stream_room.h"
#include "api/tei_grpc.h"
#include "base/log.h"
#include "server/asio_types.h"
#include "server/health_poll.h"
#include "server/reflection_v1.h"

namespace sheaf::server {
namespace {

constexpr const char* kArctic = "arctic_inference.InferenceService";
constexpr const char* kHealth = "grpc.health.v1.Health";
constexpr const char* kReflection = "grpc.reflection.v1.ServerReflection";
constexpr const char* kReflectionAlpha = "grpc.reflection.v1alpha.ServerReflection";

// What is left after a drain (watched health, idle reflection streams) gets this long to be closed
// in order.
constexpr std::chrono::milliseconds kShutdownGrace{200};

// Global in grpc++; before the first server is built. Its own messages are pages for its authors;
// what concerns users comes back as errors.
void set_up_library() {
  static const bool once = [] {
    gpr_set_log_function(
        [](gpr_log_func_args* args) { log(LogLevel::debug, "grpc: {}", args->message); });
    google::protobuf::SetLogHandler(
        [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
          log(LogLevel::debug, "protobuf: {}", message);
        });
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

// All that reflection lists.
std::vector<std::string> service_names() {
  std::vector<std::string> names = api::TeiServices::names();
  for (const char* name : {kArctic, kHealth, kReflection, kReflectionAlpha})
    names.emplace_back(name);
  return names;
}

std::string address_of(const std::string& host, std::uint16_t port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return fmt::format("{}{}{}:{}", bare_ipv6 ? "[" : "", host, bare_ipv6 ? "]" : "", port);
}

void set_limits(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.SetMaxReceiveMessageSize(int(options.grpc_message_bytes_max));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, int(options.grpc_calls_max));
  grpc::ResourceQuota quota("sheaf");
  quota.Resize(options.grpc_memory_bytes_max);
  builder.SetResourceQuota(quota);
}

// A client that vanished without closing (a machine that sleeps, a firewall that forgot the
// connection) would hold its streams' memory and its place in the queue for the two hours of gRPC's
// default. And gRPC by default closes connections of clients that ping more often than every five
// minutes, in between calls every two hours, though clients are told to ping against just such
// firewalls: every 10 s is common, the least that grpc-go does; gRPC's own example pings every 8 s.
void set_keepalive(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, int(options.grpc_keepalive_ms));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, int(options.grpc_ping_timeout_ms));
  // Both ways: we ping connections without calls, and may be pinged on them.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Else the second ping would be the last: a stream whose client is silent sends no data.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             int(options.grpc_ping_interval_ms));
}

class GrpcServerImpl final : public GrpcServer {
 public:
  GrpcServerImpl(asio::io_context& io, const api::Context& context, const ServerOptions& options)
      : io_(io),
        drain_timeout_(options.drain_timeout_ms),
        streams_(options.grpc_streams_bytes_max),
        arctic_(api::ArcticService::create(context, gate_)),
        tei_(api::TeiServices::create(context, gate_, streams_)),
        reflection_(make_reflection_v1(service_names())) {}

  ~GrpcServerImpl() override {
    if (poll_) poll_->stop();
    // Before the drainer is joined: it waits for calls that end by this.
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    if (drainer_.joinable()) drainer_.join();
    if (server_) server_->Wait();
  }

  Status start(const api::Context& context, const ServerOptions& options) {
    set_up_library();
    grpc::ServerBuilder builder;
    const std::string address = address_of(options.host, options.grpc_port);
    // Else two servers on one port would silently share it.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    set_limits(builder, options);
    set_keepalive(builder, options);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&arctic_->service());
    for (grpc::Service* service : tei_->all()) builder.RegisterService(service);
    builder.RegisterService(reflection_.get());
    server_ = builder.BuildAndStart();
    if (!server_ || port_ == 0) {
      return Error{
          ErrorCode::io,
          fmt::format("gRPC listener: cannot bind {} (in use? --grpc-port chooses another)",
                      address)};
    }
    watch_health(context);
    return {};
  }

  std::uint16_t port() const override { return std::uint16_t(port_); }

  // On a thread of its own, since grpc++ can only wait by blocking.
  void drain(std::function<void()> done) override {
    poll_->stop();
    server_->GetHealthCheckService()->SetServingStatus(false);
    drainer_ = std::thread([this, done = std::move(done)]() mutable {
      gate_.close_and_wait(drain_timeout_);
      server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
      asio::post(io_, std::move(done));
    });
  }

 private:
  void watch_health(const api::Context& context) {
    grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
    for (const std::string& name : service_names()) health.SetServingStatus(name, false);
    for (const char* name : {kHealth, kReflection, kReflectionAlpha})
      health.SetServingStatus(name, true);
    for (const std::string& name : api::TeiServices::modelless())
      health.SetServingStatus(name, true);
    std::vector<std::string> follow_router = api::TeiServices::answered_by(context.router);
    follow_router.insert(follow_router.end(), {"", kArctic});
    poll_ = std::make_shared<HealthPoll>(io_, context.router, health, std::move(follow_router));
    poll_->start();
  }

  asio::io_context& io_;
  const std::chrono::milliseconds drain_timeout_;
  api::CallGate gate_;
  api::StreamRoom streams_;
  const std::unique_ptr<api::ArcticService> arctic_;
  const std::unique_ptr<api::TeiServices> tei_;
  const std::unique_ptr<grpc::Service> reflection_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::shared_ptr<HealthPoll> poll_;
  std::thread drainer_;
};

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(boost::asio::io_context& io,
                                                      const api::Context& api_context,
                                                      const ServerOptions& options) {
  auto server = std::make_unique<GrpcServerImpl>(io, api_context, options);
  SHEAF_TRY(server->start(api_context, options));
  return std::unique_ptr<GrpcServer>(std::move(server));
}

}  // namespace sheaf::server
