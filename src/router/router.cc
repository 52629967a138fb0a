#include "router/router.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/defer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "fleet/fleet.h"
#include "router/answer_room.h"
#include "router/health_probe.h"
#include "router/open_request.h"
#include "router/request_log.h"
#include "router/served_model.h"
#include "router/tokenizer_pool.h"

namespace sheaf::router {
namespace {

namespace asio = boost::asio;
using core::BatchId;
using core::Incarnation;
using core::ReplicaId;
using core::RequestId;

constexpr TimeUs kHealthyAfterBatchUs = 5'000'000;
constexpr TimeUs kReplicaExitGraceUs = 2'000'000;

struct SentBatch {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  std::vector<core::ItemRef> items;
};

class RouterImpl final : public Router, private fleet::FleetListener {
 public:
  RouterImpl(asio::io_context& io, RouterOptions options, telemetry::Metrics& metrics,
             std::vector<std::unique_ptr<ServedModel>> models)
      : io_(io),
        options_(std::move(options)),
        metrics_(metrics),
        models_(std::move(models)),
        room_(options_.answer_floats_max, options_.open_answer_floats_max),
        tick_timer_(io),
        drain_timer_(io),
        health_(io,
                [this](std::size_t model, TimeUs deadline_us, HealthProbe::Heard heard) {
                  probe(model, deadline_us, std::move(heard));
                }),
        tokenizers_(options_.tokenizer_threads, metrics) {}

  ~RouterImpl() override { metrics_.set_reader(nullptr); }

  Status start() {
    core_ = std::make_unique<core::Core>(core_options());
    SHEAF_ASSIGN(fleet_, fleet::Fleet::create(io_, mutex_, fleet_options(), *this));
    metrics_.set_reader([this] { return readings(); });
    std::lock_guard lock(mutex_);
    core_->start(monotonic_us());
    run_actions();
    return {};
  }

  // ---- requests

  RequestId embed(EmbedRequest request, EmbedCallback callback) override {
    const RequestId id = next_request_.fetch_add(1, std::memory_order_relaxed);
    auto open = std::make_shared<OpenRequest>();
    open->id = id;
    open->arrived_us = monotonic_us();
    open->request = std::move(request);
    open->callback = std::move(callback);
    if (!may_come_again(*open)) count_start(*open);
    if (Status status = admit_request(*open); !status.ok()) {
      finish(*open, std::move(status).error());
      return id;
    }
    const ServedModel& model = *models_[open->model];
    tokenizers_.prepare(
        open->request, model.info(), model.tokenizer(),
        [this, open](Result<PreparedInputs> inputs) { enqueue(open, std::move(inputs)); });
    return id;
  }

  void cancel(RequestId request) override {
    std::lock_guard lock(mutex_);
    const auto found = open_.find(request);
    if (found == open_.end()) return;
    count_start(*found->second);
    metrics_.request_failed("dropped");
    room_.give_back(*found->second);
    open_.erase(found);
    tell_core([&](TimeUs now) { core_->on_cancel(now, request); });
  }

  Status admit(std::string_view model, std::uint64_t text_bytes) const override {
    SHEAF_ASSIGN(const std::size_t index, model_index(model));
    const ServedModel& served = *models_[index];
    const std::uint64_t most = std::uint64_t{options_.max_texts} * served.info().max_length;
    const std::uint64_t tokens = std::min(served.estimate_tokens(text_bytes), most);
    std::lock_guard lock(mutex_);
    return admit_tokens(index, tokens);
  }

  // ---- what is served

  Result<const ModelInfo*> find_model(std::string_view name,
                                      std::optional<model::Task> task) const override {
    SHEAF_ASSIGN(const std::size_t index, model_index(name, task));
    return &models_[index]->info();
  }

  std::vector<const ModelInfo*> models() const override {
    std::vector<const ModelInfo*> all;
    for (const auto& model : models_) all.push_back(&model->info());
    return all;
  }

  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_of(const ModelInfo& model) const override {
    for (const auto& served : models_)
      if (&served->info() == &model) return served->tokenizer();
    return nullptr;
  }

  const RouterOptions& options() const override { return options_; }

  // ---- health and status

  void check_health(std::function<void(Status)> callback) override {
    std::vector<std::size_t> idle;
    Status status;
    {
      std::lock_guard lock(mutex_);
      idle = idle_models();
      status = quick_health();
    }
    if (status.ok() && !idle.empty()) return health_.ask(idle, std::move(callback));
    asio::post(io_,
               [callback = std::move(callback), status = std::move(status)] { callback(status); });
  }

  bool ready() const override {
    std::lock_guard lock(mutex_);
    return quick_health().ok();
  }

  std::vector<ReplicaView> replicas() const override {
    std::lock_guard lock(mutex_);
    std::vector<ReplicaView> views;
    for (ReplicaId id = 0; id < core_->replica_count(); ++id) {
      const core::ReplicaStatus status = core_->replica_status(id);
      views.push_back({.name = fleet_->replica_name(id),
                       .slice = fleet_->slice_name(id),
                       .model = models_[status.model]->info().name,
                       .ranks = options_.models[status.model].processes(),
                       .streams = options_.models[status.model].streams,
                       .pids = fleet_->pids(id),
                       .status = status});
    }
    return views;
  }

  std::size_t open_requests() const override {
    std::lock_guard lock(mutex_);
    return open_.size();
  }

  void card_failed(const fleet::CardFailure& failure) override {
    const std::lock_guard lock(mutex_);
    fleet_->card_failed(failure);
  }

  void card_is_well(unsigned gpu) override {
    const std::lock_guard lock(mutex_);
    fleet_->card_is_well(gpu);
  }

  void drain(std::function<void()> done) override {
    std::lock_guard lock(mutex_);
    draining_ = true;
    drain_done_ = std::move(done);
    run_actions();
  }

 private:
  // ---- set-up

  core::CoreOptions core_options() const {
    core::CoreOptions core;
    core.seed = options_.seed != 0 ? options_.seed : static_cast<std::uint64_t>(monotonic_ns());
    for (std::size_t i = 0; i < models_.size(); ++i)
      core.models.push_back({.replicas = options_.models[i].replicas,
                             .policy = options_.policy,
                             .max_length = models_[i]->info().max_length,
                             .max_batch_tokens = options_.models[i].max_batch_tokens,
                             .queue_tokens_max = options_.queue_tokens_max});
    return core;
  }

  fleet::FleetOptions fleet_options() const {
    fleet::FleetOptions fleet{.replica_program = options_.replica_program,
                              .card_program = options_.card_program,
                              .models = {},
                              .placement = options_.placement,
                              .want_mps = options_.want_mps,
                              .replica_environment = options_.replica_environment};
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const ModelInfo& info = models_[i]->info();
      fleet.models.push_back({.name = info.name,
                              .folder = info.folder,
                              .spec = info.spec,
                              .replicas = options_.models[i].replicas,
                              .pooling = options_.models[i].pooling,
                              .dtype = info.dtype,
                              .ranks = options_.models[i].ranks,
                              .stages = options_.models[i].stages,
                              .streams = options_.models[i].streams});
    }
    return fleet;
  }

  // ---- a request's way

  static telemetry::Metrics::Method method_of(const OpenRequest& open) {
    return open.request.inputs.size() == 1 ? telemetry::Metrics::Method::single
                                           : telemetry::Metrics::Method::batch;
  }

  // The only one whose name ends in this, behind its organization's.
  std::optional<std::size_t> only_model_called(std::string_view name) const {
    std::optional<std::size_t> only;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const std::string& whole = models_[i]->info().name;
      if (whole.size() <= name.size() || !whole.ends_with(name) ||
          whole[whole.size() - name.size() - 1] != '/')
        continue;
      if (only) return std::nullopt;
      only = i;
    }
    return only;
  }

  Result<std::size_t> model_index(std::string_view name,
                                  std::optional<model::Task> task = std::nullopt,
                                  std::optional<model::Output> output = std::nullopt) const {
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const ModelInfo& info = models_[i]->info();
      const bool fits =
          (!task || info.spec.task() == *task) && (!output || info.spec.gives(*output));
      if (name.empty() ? fits : info.name == name) return i;
    }
    if (name.empty() && output) return model_index(name, task);
    if (name.empty()) return std::size_t{0};
    if (const auto only = only_model_called(name)) return *only;
    std::string served;
    for (const auto& model : models_) served += (served.empty() ? "" : ", ") + model->info().name;
    return Error{ErrorCode::not_found,
                 fmt::format("model {} is not served here; served: {}", excerpt(name), served),
                 "model"};
  }

  // Everything that can be refused before the texts are tokenized.
  Status admit_request(OpenRequest& open) {
    SHEAF_ASSIGN(open.model,
                 model_index(open.request.model, open.request.task, open.request.output));
    const ServedModel& model = *models_[open.model];
    SHEAF_TRY(check_request(open.request, model.info(), options_.max_texts));
    if (open.request.output != model::Output::vector) open.request.dimensions.reset();
    open.dimensions = open.request.dimensions ? static_cast<std::uint32_t>(*open.request.dimensions)
                                              : model.info().spec.width_of(open.request.output);
    if (open.request.deadline_us == 0)
      open.request.deadline_us = open.arrived_us + options_.request_timeout_us;
    for (const Input& input : open.request.inputs) open.characters += characters_of(input);
    const std::uint64_t tokens = model.estimate_tokens(open.request);
    std::lock_guard lock(mutex_);
    SHEAF_TRY(admit_tokens(open.model, tokens, open.request.stream));
    open_.emplace(open.id, open.shared_from_this());
    ++tokenizing_;
    return {};
  }

  Status admit_tokens(std::size_t model, std::uint64_t tokens, core::StreamId stream = 0) const {
    if (draining_) return Error{ErrorCode::unavailable, "the server is shutting down", "", 1};
    return core_->admit(now_us(), static_cast<core::ModelId>(model), tokens, stream);
  }

  // On a tokenizer's thread or the caller's own.
  void enqueue(const std::shared_ptr<OpenRequest>& open, Result<PreparedInputs> inputs) {
    std::optional<Error> refusal;
    if (!inputs.ok()) {
      refusal = std::move(inputs).error();
    } else {  // still this thread's own: the core does not know of it
      open->inputs = std::move(inputs).value();
      if (open->request.output == model::Output::vector)
        open->vectors.resize(open->inputs.size() * open->dimensions);
      else
        open->rows.resize(open->inputs.size());
      models_[open->model]->learn(open->request, open->inputs);
    }
    std::unique_lock lock(mutex_);
    --tokenizing_;
    const auto found = open_.find(open->id);
    if (found == open_.end()) return run_actions();  // cancelled meanwhile
    if (!refusal && open->request.output == model::Output::tokens) {
      const Status room = room_.take(*open, open->inputs.ids.size() * open->dimensions);
      if (!room.ok()) refusal = room.error();
    }
    if (refusal) {
      open_.erase(found);
      run_actions();
      lock.unlock();
      return finish(*open, *std::move(refusal));
    }
    open->tokenize_us = now_us() - open->arrived_us;
    tell_core([&](TimeUs at) { core_->on_request(at, spec_of(*open)); });
  }

  core::RequestSpec spec_of(const OpenRequest& open) const {
    core::RequestSpec spec{.id = open.id,
                           .model = static_cast<core::ModelId>(open.model),
                           .tenant = open.request.tenant,
                           .stream = open.request.stream,
                           .deadline_us = open.request.deadline_us,
                           .item_tokens = {}};
    spec.item_tokens.reserve(open.inputs.size());
    for (std::size_t i = 0; i < open.inputs.size(); ++i)
      spec.item_tokens.push_back(static_cast<std::uint32_t>(open.inputs.ids_of(i).size()));
    return spec;
  }

  EmbedReply reply_of(OpenRequest& open, const core::Answer& answer) const {
    EmbedReply reply;
    reply.model = models_[open.model]->info().name;
    reply.dimensions = open.dimensions;
    reply.vectors = std::move(open.vectors);
    reply.rows = std::move(open.rows);
    reply.tokens.reserve(open.inputs.size());
    for (std::size_t i = 0; i < open.inputs.size(); ++i)
      reply.tokens.push_back(static_cast<std::uint32_t>(open.inputs.ids_of(i).size()));
    reply.total_tokens = open.inputs.ids.size();
    reply.cut_inputs = open.inputs.cut;
    reply.characters = open.characters;
    reply.timings = {.total_us = monotonic_us() - open.arrived_us,
                     .tokenize_us = open.tokenize_us,
                     .queue_us = answer.queue_us,
                     .compute_us = answer.compute_us};
    reply.replica = fleet_->replica_name(answer.replica);
    reply.slice = fleet_->slice_name(answer.replica);
    return reply;
  }

  // A message of a stream comes as often as it takes until there is room for it, and is one
  // request: counted when it ends.
  static bool may_come_again(const OpenRequest& open) { return open.request.stream != 0; }

  void count_start(OpenRequest& open) const {
    if (open.request.probe || std::exchange(open.counted, true)) return;
    metrics_.request_started(method_of(open));
  }

  // Tells metrics, client and log; never with the mutex held, since the callback may call the
  // router. The log comes last: writing a line takes longer than all else here.
  void finish(OpenRequest& open, Result<EmbedReply> result) {
    const bool comes_again =
        may_come_again(open) && !result.ok() && result.error().code == ErrorCode::overloaded;
    if (open.request.probe || comes_again) return open.callback(std::move(result));
    count_start(open);
    for (std::size_t i = 0; i < open.inputs.size(); ++i)
      metrics_.input_length(static_cast<std::uint32_t>(open.inputs.ids_of(i).size()));
    if (!result.ok()) {
      const Error error = result.error();
      metrics_.request_failed(metric_name(error.code));
      open.callback(std::move(result));
      log_refusal(open.name(), error);
      return;
    }
    const Timings t = result->timings;
    metrics_.request_succeeded(method_of(open), t.total_us, t.tokenize_us, t.queue_us,
                               t.compute_us);
    metrics_.inputs_cut(open.inputs.cut);
    open.callback(std::move(result));
    log_answer(open, t, models_[open.model]->info().name, models_.size() == 1);
  }

  // ---- the core's actions; all below with the mutex held

  // The core wants time never to go back; threads that read the clock before the lock would make
  // it.
  TimeUs now_us() const {
    last_now_us_ = std::max(last_now_us_, monotonic_us());
    return last_now_us_;
  }

  // Brings an event to the core and carries out what follows from it.
  template <class Event>
  void tell_core(Event event) {
    const telemetry::StageTimer timer(metrics_, telemetry::Stage::schedule);
    event(now_us());
    run_actions();
  }

  void run_actions() {
    // What was admitted before the drain but is still being tokenized must reach the core first.
    if (draining_ && tokenizing_ == 0 && !std::exchange(core_drains_, true))
      core_->on_drain(now_us());
    for (auto actions = core_->take_actions(); !actions.empty(); actions = core_->take_actions())
      for (core::Action& action : actions) std::visit([this](auto& a) { perform(a); }, action);
    arm_tick();
    watch_drain();
  }

  void perform(const core::SendBatch& send) {
    std::vector<fleet::BatchItem> items;
    items.reserve(send.items.size());
    if (send.items.empty()) items.push_back(nobody(send.replica));
    for (const core::ItemRef& ref : send.items) {
      const auto found = open_.find(ref.request);
      items.push_back(found == open_.end() ? nobody(send.replica)
                                           : found->second->batch_item(ref.index));
    }
    metrics_.batch_sent(static_cast<std::uint32_t>(items.size()), send.tokens);
    batches_[send.batch] = {send.replica, send.incarnation, send.items};
    if (!fleet_->submit(send.replica, send.incarnation, send.batch, items))
      fleet_->kill(send.replica, send.incarnation);  // its exit gives the items back
  }
  // A token whose answer no request waits for.
  fleet::BatchItem nobody(ReplicaId replica) const {
    static constexpr std::int32_t kToken[] = {0};
    const model::ModelSpec& spec = models_[core_->replica_status(replica).model]->info().spec;
    return {.ids = kToken, .output = OpenRequest::wire_output(spec.main_output())};
  }
  void perform(const core::CancelBatch& a) { fleet_->cancel(a.replica, a.incarnation, a.batch); }
  void perform(const core::StartReplica& a) { fleet_->start(a.replica, a.incarnation); }
  void perform(const core::StopReplica& a) { fleet_->stop(a.replica, a.incarnation); }
  void perform(const core::KillReplica& a) { fleet_->kill(a.replica, a.incarnation); }
  void perform(const core::Notice& a) {
    const LogLevel level = a.level == core::Notice::Level::info   ? LogLevel::info
                           : a.level == core::Notice::Level::warn ? LogLevel::warn
                                                                  : LogLevel::error;
    log(level, "{}", a.text);
  }
  void perform(const core::Answer& a) {
    if (auto open = take_open(a.request)) post_finish(open, reply_of(*open, a));
  }
  void perform(core::Refuse& a) {
    if (auto open = take_open(a.request)) post_finish(open, std::move(a.error));
  }

  std::shared_ptr<OpenRequest> take_open(RequestId id) {
    const auto found = open_.find(id);
    if (found == open_.end()) return nullptr;
    auto open = std::move(found->second);
    open_.erase(found);
    return open;
  }

  // Deferred, not posted: this thread goes on with it once the mutex is free, and wakes no other.
  void post_finish(std::shared_ptr<OpenRequest> open, Result<EmbedReply> result) {
    ++finishing_;
    asio::defer(io_, [this, open = std::move(open), result = std::move(result)]() mutable {
      finish(*open, std::move(result));
      std::lock_guard lock(mutex_);
      --finishing_;
      room_.give_back(*open);
      watch_drain();
    });
  }

  void arm_tick() {
    const TimeUs next = core_->next_tick_us();
    if (next >= armed_us_) return;  // the timer fires early enough, and looks again then
    armed_us_ = next;
    tick_timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(next)));
    tick_timer_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      std::lock_guard lock(mutex_);
      armed_us_ = kNever;
      tell_core([&](TimeUs now) { core_->on_tick(now); });
    });
  }

  // ---- what the fleet reports, with the mutex held

  void replica_ready(ReplicaId id, Incarnation incarnation,
                     const fleet::ReplicaHello& hello) override {
    log(LogLevel::info, "replica {} of {} on {} is ready: {}, {}{}", fleet_->replica_name(id),
        models_[core_->replica_status(id).model]->info().name, fleet_->slice_name(id), hello.device,
        hello.dtype, hello.limits.lanes > 1 ? fmt::format(", {} streams", hello.limits.lanes) : "");
    tell_core([&](TimeUs now) { core_->on_replica_ready(now, id, incarnation, hello.limits); });
  }

  void replica_rows(ReplicaId id, Incarnation incarnation, const fleet::ResultRows& rows) override {
    const auto batch = batches_.find(rows.batch);
    if (batch == batches_.end()) return;
    store_rows(batch->second, rows);
    tell_core([&](TimeUs now) {
      end_too_large(now);
      core_->on_items_done(now, id, incarnation, rows.batch, rows.first_item, rows.items);
    });
  }

  void store_rows(const SentBatch& batch, const fleet::ResultRows& rows) {
    const telemetry::StageTimer timer(metrics_, telemetry::Stage::collect);
    if (batch.items.empty()) return;  // a probe's
    for (std::uint32_t i = 0; i < rows.items; ++i) {
      const core::ItemRef& ref = batch.items[rows.first_item + i];
      const auto open = open_.find(ref.request);
      if (open == open_.end()) continue;
      const auto row = rows.values.subspan(std::size_t{i} * rows.stride, rows.stride);
      Status room;
      // How many terms a text has is known only now.
      if (open->second->request.output == model::Output::sparse)
        room = room_.take(*open->second, row.size());
      if (room.ok())
        open->second->store_row(ref.index, row);
      else
        too_large_.emplace_back(ref.request, room.error());
    }
  }

  // Ends the requests whose answers turned out too large.
  void end_too_large(TimeUs now) {
    for (auto& [id, error] : std::exchange(too_large_, {}))
      if (auto open = take_open(id)) {
        core_->on_cancel(now, id);
        post_finish(std::move(open), std::move(error));
      }
  }

  void replica_batch_end(ReplicaId id, Incarnation incarnation,
                         const fleet::BatchEnd& end) override {
    batches_.erase(end.batch);
    tell_core([&](TimeUs now) {
      core_->on_batch_done(now, id, incarnation, end.batch, end.compute_us, end.failure);
    });
  }

  void replica_progress(ReplicaId id, Incarnation incarnation,
                        const core::ProgressSample& sample) override {
    tell_core([&](TimeUs now) { core_->on_progress(now, id, incarnation, sample); });
  }

  void replica_exit(ReplicaId id, Incarnation incarnation,
                    const core::ExitReport& report) override {
    std::erase_if(batches_, [&](const auto& entry) {
      return entry.second.replica == id && entry.second.incarnation == incarnation;
    });
    tell_core([&](TimeUs now) { core_->on_replica_exit(now, id, incarnation, report); });
  }

  void replica_waits(ReplicaId id, Incarnation incarnation, const std::string& reason) override {
    tell_core([&](TimeUs now) { core_->on_replica_waits(now, id, incarnation, reason); });
  }

  // ---- health

  Status quick_health() const {
    if (draining_) return Error{ErrorCode::unavailable, "the server is shutting down", "", 1};
    for (std::size_t i = 0; i < models_.size(); ++i)
      if (core_->model_status(static_cast<core::ModelId>(i)).replicas_ready == 0)
        return Error{
            ErrorCode::unavailable,
            "model " + models_[i]->info().name + " has no ready replica" + why_not_ready(i), "", 1};
    return {};
  }

  // What the log says too, for those who only see the answer.
  std::string why_not_ready(std::size_t model) const {
    for (ReplicaId id = 0; id < core_->replica_count(); ++id) {
      const core::ReplicaStatus status = core_->replica_status(id);
      if (status.model != model) continue;
      if (status.state == core::ReplicaState::broken)
        return "; " + fleet_->replica_name(id) + " failed too often, last: " + status.last_death;
      if (status.state == core::ReplicaState::waiting)
        return "; " + fleet_->replica_name(id) + " waits: " + status.last_death;
    }
    return {};
  }

  bool has_worked_lately(std::size_t model) const {
    const TimeUs last = core_->model_status(static_cast<core::ModelId>(model)).last_batch_end_us;
    return last >= 0 && now_us() - last <= kHealthyAfterBatchUs;
  }

  std::vector<std::size_t> idle_models() const {
    std::vector<std::size_t> idle;
    for (std::size_t i = 0; i < models_.size(); ++i)
      if (!has_worked_lately(i)) idle.push_back(i);
    return idle;
  }

  void probe(std::size_t index, TimeUs deadline_us, HealthProbe::Heard heard) {
    const ModelInfo& info = models_[index]->info();
    EmbedRequest request;
    request.model = info.name;
    request.inputs.emplace_back(std::vector<std::int32_t>{0});
    request.task = info.spec.task();
    request.output = info.spec.main_output();
    request.probe = true;
    request.deadline_us = deadline_us;
    embed(std::move(request), [heard = std::move(heard)](const Result<EmbedReply>& reply) {
      // A full queue is overload, not ill health.
      heard(reply.ok() || reply.error().code == ErrorCode::overloaded);
    });
  }

  telemetry::Readings readings() const {
    telemetry::Readings all;
    for (const ReplicaView& view : replicas())
      all.replicas.push_back({.replica = view.name,
                              .slice = view.slice,
                              .model = view.model,
                              .state = std::string(core::name_of(view.status.state)),
                              .restarts = view.status.restarts,
                              .tokens_in_flight = view.status.tokens_in_flight,
                              .batches = view.status.batches,
                              .tokens = view.status.tokens,
                              .busy_seconds = static_cast<double>(view.status.busy_us) * 1e-6,
                              .tokens_per_second = view.status.tokens_per_s});
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const core::ModelStatus status = core_->model_status(static_cast<core::ModelId>(i));
      all.models.push_back({.model = models_[i]->info().name,
                            .queue_items = status.queue_items,
                            .queue_tokens = status.queue_tokens,
                            .queue_tokens_max = status.queue_tokens_max});
    }
    return all;
  }

  // ---- drain: when nothing is open, wait a little for the replicas to exit by themselves, then
  // say so

  bool replicas_gone() const {
    for (ReplicaId id = 0; id < core_->replica_count(); ++id)
      if (!fleet_->pids(id).empty()) return false;
    return true;
  }

  void watch_drain() {
    if (!core_drains_ || !drain_done_ || !core_->drained()) return;
    if (!open_.empty() || finishing_ > 0) return;
    if (replicas_gone()) return drain_finished();
    if (drain_waits_) return;
    drain_waits_ = true;
    drain_timer_.expires_after(std::chrono::microseconds(kReplicaExitGraceUs));
    drain_timer_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      std::lock_guard lock(mutex_);
      drain_finished();
    });
  }

  void drain_finished() {
    if (!drain_done_) return;
    drain_timer_.cancel();
    asio::post(io_, std::exchange(drain_done_, nullptr));
  }

  asio::io_context& io_;
  const RouterOptions options_;
  telemetry::Metrics& metrics_;
  const std::vector<std::unique_ptr<ServedModel>> models_;
  std::atomic<RequestId> next_request_{1};

  mutable std::mutex mutex_;  // guards all below; also the fleet
  mutable TimeUs last_now_us_ = 0;
  std::unique_ptr<core::Core> core_;
  std::unordered_map<RequestId, std::shared_ptr<OpenRequest>> open_;
  std::unordered_map<BatchId, SentBatch> batches_;
  AnswerRoom room_;  // of open requests and those whose callback runs
  std::vector<std::pair<RequestId, Error>> too_large_;
  asio::steady_timer tick_timer_;
  TimeUs armed_us_ = kNever;
  std::size_t tokenizing_ = 0;  // admitted, not yet known to the core
  std::size_t finishing_ = 0;   // answered by the core, their callbacks not yet called
  bool draining_ = false;       // the door is shut
  bool core_drains_ = false;    // and the core has been told
  bool drain_waits_ = false;
  std::function<void()> drain_done_;
  asio::steady_timer drain_timer_;
  std::unique_ptr<fleet::Fleet> fleet_;
  HealthProbe health_;        // has a mutex of its own
  TokenizerPool tokenizers_;  // last: joined first, while all it calls back into is alive
};

Result<slices::Placement> place_on_cores(const std::vector<ModelConfig>& models) {
  SHEAF_ASSIGN(const slices::Machine machine, slices::detect_machine());
  std::vector<slices::Wish> wishes;
  for (const ModelConfig& model : models)
    wishes.push_back({.model = model.name, .replicas = model.replicas});
  SHEAF_ASSIGN(auto placed, slices::place(machine, {}, wishes, {}));
  return std::get<slices::Placement>(std::move(placed));  // cores have no misfits
}

}  // namespace

Result<std::unique_ptr<Router>> Router::create(boost::asio::io_context& io, RouterOptions options,
                                               telemetry::Metrics& metrics) {
  if (options.models.empty()) return Error{ErrorCode::invalid_argument, "no model to serve"};
  std::vector<std::unique_ptr<ServedModel>> models;
  for (const ModelConfig& config : options.models) {
    SHEAF_ASSIGN(auto model, ServedModel::load(config));
    for (const auto& other : models)
      if (other->info().name == config.name)
        return Error{ErrorCode::invalid_argument, "two models are to be served as " + config.name};
    models.push_back(std::move(model));
  }
  if (options.tokenizer_threads == 0)
    options.tokenizer_threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  if (options.placement.replicas.empty()) {
    SHEAF_ASSIGN(options.placement, place_on_cores(options.models));
  }
  auto router = std::make_unique<RouterImpl>(io, std::move(options), metrics, std::move(models));
  SHEAF_TRY(router->start());
  return std::unique_ptr<Router>(std::move(router));
}

}  // namespace sheaf::router
