#include "api/arctic.h"

#include <fmt/format.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "api/embed.h"
#include "api/errors.h"
#include "api/grpc_call.h"
#include "arctic.grpc.pb.h"

namespace sheaf::api {
namespace {

namespace pb = arctic_inference;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

Result<router::Input> ids_of(const std::string& bytes, int index) {
  if (bytes.empty() || bytes.size() % sizeof(std::int32_t) != 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("token_id_bytes_i32[{}] has {} bytes; a positive multiple of 4 is "
                             "expected",
                             index, bytes.size())};
  }
  std::vector<std::int32_t> ids(bytes.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return router::Input(std::move(ids));
}

constexpr std::size_t kRequestIdBytesMax = 1024;

Result<router::EmbedRequest> read_request(const Context& context, const pb::EncodeRequest& in) {
  const bool ids = in.token_id_bytes_i32_size() > 0;
  const int items = ids ? in.token_id_bytes_i32_size() : in.prompts_size();
  if (in.n_prompts() != items) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("n_prompts is {} but {} holds {} items", in.n_prompts(),
                             ids ? "token_id_bytes_i32" : "prompts", items)};
  }
  if (in.request_id().size() > kRequestIdBytesMax)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("request_id has {} bytes; it may have {}", in.request_id().size(),
                             kRequestIdBytesMax)};
  if (items == 0) return Error{ErrorCode::invalid_argument, "the request has no prompts"};
  const std::uint32_t items_max = context.router.options().max_texts;
  if (std::uint32_t(items) > items_max) {
    return Error{ErrorCode::too_large,
                 fmt::format("the request holds {} texts; it may hold {}", items, items_max)};
  }
  router::EmbedRequest out;
  out.model = in.model_name();
  out.names.list = ids ? "token_id_bytes_i32" : "prompts";
  out.inputs.reserve(std::size_t(items));
  for (int i = 0; i < items; ++i) {
    if (!ids) {
      out.inputs.emplace_back(std::in_place_type<std::string>, in.prompts(i));
      continue;
    }
    SHEAF_ASSIGN(router::Input input, ids_of(in.token_id_bytes_i32(i), i));
    out.inputs.push_back(std::move(input));
  }
  return out;
}

void write_reply(const router::EmbedReply& reply, pb::EncodeResponse& out) {
  out.set_n_prompts(int(reply.tokens.size()));
  out.set_embedding_dim(int(reply.dimensions));
  out.mutable_embedding_bytes_fp32()->Reserve(int(reply.tokens.size()));
  const std::size_t row_bytes = reply.dimensions * sizeof(float);
  const auto* bytes = reinterpret_cast<const char*>(reply.vectors.data());
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    out.add_embedding_bytes_fp32(bytes + i * row_bytes, row_bytes);
  }
}

void add_reply_trailers(CallbackServerContext& context, const router::EmbedReply& reply) {
  const router::Timings& t = reply.timings;
  add_trailers(context, reply.model, reply.replica, reply.slice);
  context.AddTrailingMetadata("x-sheaf-tokens", std::to_string(reply.total_tokens));
  if (reply.cut_inputs > 0)
    context.AddTrailingMetadata("x-sheaf-cut-texts", std::to_string(reply.cut_inputs));
  context.AddTrailingMetadata("x-sheaf-tokenize-us", std::to_string(t.tokenize_us));
  context.AddTrailingMetadata("x-sheaf-queue-us", std::to_string(t.queue_us));
  context.AddTrailingMetadata("x-sheaf-compute-us", std::to_string(t.compute_us));
}

// OK with `error` set, or the gRPC status, as the table says.
grpc::Status report(const Error& error, pb::EncodeResponse& out) {
  if (!error_row(error.code).in_band) return grpc_status(error);
  out.set_error(error.message);
  return grpc::Status::OK;
}

// One Encode on its way. The router's answer, the client's cancellation and an Abort race: whoever
// takes the call first finishes it, the others find it taken. Until it is finished, gRPC keeps the
// reactor and the messages alive.
class EncodeCall : public std::enable_shared_from_this<EncodeCall> {
 public:
  EncodeCall(const Context& context, CallbackServerContext& rpc, pb::EncodeResponse& out)
      : context_(context), rpc_(rpc), out_(out), work_(context.router) {}

  void set_reactor(ServerUnaryReactor& reactor) { reactor_ = &reactor; }  // before all below

  void start(router::EmbedRequest request) {
    work_.began(context_.router.embed(
        std::move(request),
        [self = shared_from_this()](Result<router::EmbedReply> r) { self->answer(std::move(r)); }));
  }

  void refuse(const Error& error) {
    note_refusal(context_, out_.request_id(), error);
    if (take()) reactor_->Finish(report(error, out_));
  }

  void cancel() {
    work_.cancel();
    if (take()) reactor_->Finish({grpc::StatusCode::CANCELLED, "the client cancelled the request"});
  }

  bool abort() {
    work_.cancel();
    if (!take()) return false;
    out_.set_error("the request was aborted");
    reactor_->Finish(grpc::Status::OK);
    return true;
  }

 private:
  bool take() { return !taken_.exchange(true); }

  void answer(Result<router::EmbedReply> reply) {
    if (!take()) return;
    if (!reply.ok()) return reactor_->Finish(report(reply.error(), out_));
    {
      const telemetry::StageTimer timer(context_.metrics, telemetry::Stage::encode);
      write_reply(*reply, out_);
    }
    add_reply_trailers(rpc_, *reply);
    reactor_->Finish(grpc::Status::OK);
  }

  const Context& context_;
  CallbackServerContext& rpc_;
  pb::EncodeResponse& out_;
  ServerUnaryReactor* reactor_ = nullptr;
  std::atomic<bool> taken_ = false;
  WorkHandle work_;
};

// The calls at hand, found by id to be aborted. Ids are the clients', so several may share one.
class OpenCalls {
 public:
  void add(const std::string& id, std::shared_ptr<EncodeCall> call) {
    std::lock_guard lock(mutex_);
    calls_.emplace(id, std::move(call));
  }
  void remove(const std::string& id, const std::shared_ptr<EncodeCall>& call) {
    std::lock_guard lock(mutex_);
    const auto [first, last] = calls_.equal_range(id);
    const auto found = std::find_if(first, last, [&](auto& entry) { return entry.second == call; });
    if (found != last) calls_.erase(found);
  }
  std::vector<std::shared_ptr<EncodeCall>> find(const std::string& id) const {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<EncodeCall>> found;
    const auto [first, last] = calls_.equal_range(id);
    for (auto it = first; it != last; ++it) found.push_back(it->second);
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_multimap<std::string, std::shared_ptr<EncodeCall>> calls_;
};

// gRPC calls back on it; it deletes itself in OnDone, as the callback API asks.
class EncodeReactor final : public ServerUnaryReactor, public GatedCall {
 public:
  EncodeReactor(CallGate& gate, OpenCalls& open, std::string id, std::shared_ptr<EncodeCall> call)
      : gate_(gate), open_(open), id_(std::move(id)), call_(std::move(call)) {}
  void OnCancel() override { call_->cancel(); }
  void OnDone() override {
    open_.remove(id_, call_);
    gate_.leave(*this);
    delete this;
  }

 private:
  CallGate& gate_;
  OpenCalls& open_;
  const std::string id_;
  const std::shared_ptr<EncodeCall> call_;
};

// A health question on its way; the router answers it, or the client stops asking.
class HealthReactor final : public ServerUnaryReactor {
 public:
  struct Shared {
    std::atomic<bool> taken = false;
  };
  explicit HealthReactor(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  void OnCancel() override {
    if (!shared_->taken.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<Shared> shared_;
};

std::string next_request_id() {
  static std::atomic<std::uint64_t> count = 0;
  return fmt::format("sheaf-{}", count.fetch_add(1, std::memory_order_relaxed));
}

class Service final : public ArcticService, public pb::InferenceService::CallbackService {
 public:
  Service(const Context& context, CallGate& gate) : context_(context), gate_(gate) {}

  grpc::Service& service() override { return *this; }

  ServerUnaryReactor* Encode(CallbackServerContext* rpc, const pb::EncodeRequest* in,
                             pb::EncodeResponse* out) override {
    const Result<GrpcCaller> caller = read_caller(context_, *rpc);
    if (!caller.ok()) return refuse(caller.error());
    out->set_request_id(in->request_id().empty() ? next_request_id() : in->request_id());
    const std::string id = out->request_id();
    auto call = std::make_shared<EncodeCall>(context_, *rpc, *out);
    auto* reactor = new EncodeReactor(gate_, open_, id, call);
    call->set_reactor(*reactor);
    if (!gate_.enter(*reactor)) {
      call->refuse(closed_gate());
    } else if (auto request = read_request(context_, *in); request.ok()) {
      open_.add(id, call);
      request->deadline_us = caller->deadline_us;
      request->id = id;
      request->tenant = caller->tenant;
      call->start(std::move(*request));
    } else {
      call->refuse(request.error());
    }
    return reactor;
  }

  ServerUnaryReactor* Abort(CallbackServerContext* rpc, const pb::AbortRequest* in,
                            pb::AbortResponse* out) override {
    if (const auto caller = read_caller(context_, *rpc); !caller.ok())
      return refuse(caller.error());
    int aborted = 0;
    for (const auto& call : open_.find(in->request_id())) aborted += call->abort();
    out->set_success(aborted > 0);
    out->set_message(fmt::format("{} requests with id \"{}\" aborted", aborted, in->request_id()));
    return finish(*rpc, grpc::Status::OK);
  }

  ServerUnaryReactor* GetReplicaInfo(CallbackServerContext* rpc, const pb::ReplicaInfoRequest*,
                                     pb::ReplicaInfoResponse* out) override {
    if (const auto caller = read_caller(context_, *rpc); !caller.ok())
      return refuse(caller.error());
    write_replicas(*out);
    return finish(*rpc, grpc::Status::OK);
  }

  ServerUnaryReactor* HealthCheck(CallbackServerContext*, const pb::HealthCheckRequest*,
                                  pb::HealthCheckResponse* out) override {
    auto shared = std::make_shared<HealthReactor::Shared>();
    auto* reactor = new HealthReactor(shared);
    context_.router.check_health([shared, reactor, out](const Status& status) {
      if (shared->taken.exchange(true)) return;
      out->set_healthy(status.ok());
      out->set_message(status.ok() ? "healthy" : status.error().message);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

 private:
  static ServerUnaryReactor* finish(CallbackServerContext& rpc, const grpc::Status& status) {
    ServerUnaryReactor* reactor = rpc.DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }
  ServerUnaryReactor* refuse(const Error& error) const {
    return refused<ServerUnaryReactor>(refusal_status(context_, error));
  }

  void write_replicas(pb::ReplicaInfoResponse& out) const {
    int healthy = 0;
    for (const router::ReplicaView& view : context_.router.replicas()) {
      pb::SingleReplicaInfoResponse& info = *out.add_replica_infos();
      info.set_model_name(view.model);
      info.set_task("embed");
      if (const auto model = context_.router.find_model(view.model); model.ok()) {
        info.set_dtype((*model)->dtype);
      }
      info.set_ready(view.status.state == core::ReplicaState::ready);
      info.set_parallel_config(fmt::format("replica={} slice={}", view.name, view.slice));
      healthy += info.ready();
    }
    out.set_n_replicas(out.replica_infos_size());
    out.set_n_healthy_replicas(healthy);
    out.set_message(fmt::format("{} of {} replicas ready", healthy, out.replica_infos_size()));
  }

  const Context& context_;
  CallGate& gate_;
  OpenCalls open_;
};

}  // namespace

std::unique_ptr<ArcticService> ArcticService::create(const Context& context, CallGate& gate) {
  return std::make_unique<Service>(context, gate);
}

}  // namespace sheaf::api
