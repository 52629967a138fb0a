#include "core/core.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/pool.h"

namespace sheaf::core {

struct Core::State {
  struct Location {
    Pool* pool = nullptr;
    std::uint32_t position = 0;
  };

  explicit State(const CoreOptions& options) {
    ReplicaId first = 0;
    for (ModelId model = 0; model < options.models.size(); ++model) {
      pools.push_back(std::make_unique<Pool>(options, model, first, outbox));
      for (std::uint32_t i = 0; i < options.models[model].replicas; ++i)
        locations.push_back({pools.back().get(), i});
      first += options.models[model].replicas;
    }
  }

  // Ids come from the driver's own lists; a wrong one is its bug, and ignored like other late news.
  Location find(ReplicaId replica) const {
    return replica < locations.size() ? locations[replica] : Location{};
  }

  Outbox outbox;
  std::vector<std::unique_ptr<Pool>> pools;
  std::vector<Location> locations;  // by ReplicaId
  bool draining = false;
};

Core::Core(const CoreOptions& options) : state_(std::make_unique<State>(options)) {}
Core::~Core() = default;

void Core::start(TimeUs now_us) {
  for (const auto& pool : state_->pools) pool->start(now_us);
}

Status Core::admit(TimeUs now_us, ModelId model, std::uint64_t estimated_tokens,
                   StreamId stream) const {
  return state_->pools.at(model)->admit(now_us, estimated_tokens, stream);
}

void Core::on_request(TimeUs now_us, const RequestSpec& request) {
  state_->pools.at(request.model)->on_request(now_us, request);
}

void Core::on_cancel(TimeUs now_us, RequestId request) {
  for (const auto& pool : state_->pools) pool->on_cancel(now_us, request);
}

void Core::on_replica_ready(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                            const ReplicaReady& ready) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_ready(now_us, position, incarnation, ready);
}

void Core::on_replica_waits(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                            const std::string& reason) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_waits(now_us, position, incarnation, reason);
}

void Core::on_replica_exit(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                           const ExitReport& report) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_exit(now_us, position, incarnation, report);
}

void Core::on_progress(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                       const ProgressSample& sample) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_progress(now_us, position, incarnation, sample);
}

void Core::on_items_done(TimeUs now_us, ReplicaId replica, Incarnation incarnation, BatchId batch,
                         std::uint32_t first, std::uint32_t count) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_items_done(now_us, position, incarnation, batch, first, count);
}

void Core::on_batch_done(TimeUs now_us, ReplicaId replica, Incarnation incarnation, BatchId batch,
                         TimeUs compute_us, const Error* failure) {
  if (const auto [pool, position] = state_->find(replica); pool != nullptr)
    pool->on_batch_done(now_us, position, incarnation, batch, compute_us, failure);
}

void Core::on_tick(TimeUs now_us) {
  for (const auto& pool : state_->pools) pool->on_tick(now_us);
}

TimeUs Core::next_tick_us() const {
  TimeUs next_us = std::numeric_limits<TimeUs>::max();
  for (const auto& pool : state_->pools) next_us = std::min(next_us, pool->next_tick_us());
  return next_us;
}

void Core::on_drain(TimeUs now_us) {
  state_->draining = true;
  for (const auto& pool : state_->pools) pool->on_drain(now_us);
}

bool Core::drained() const { return state_->draining && open_requests() == 0; }

std::vector<Action> Core::take_actions() { return std::exchange(state_->outbox.actions, {}); }

std::size_t Core::replica_count() const { return state_->locations.size(); }

ReplicaStatus Core::replica_status(ReplicaId replica) const {
  const auto [pool, position] = state_->locations.at(replica);
  return pool->replica_status(position);
}

ModelStatus Core::model_status(ModelId model) const { return state_->pools.at(model)->status(); }

std::size_t Core::open_requests() const {
  std::size_t open = 0;
  for (const auto& pool : state_->pools) open += pool->open_requests();
  return open;
}

std::string_view name_of(ReplicaState state) {
  switch (state) {
    case ReplicaState::stopped:
      return "stopped";
    case ReplicaState::waiting:
      return "waiting";
    case ReplicaState::starting:
      return "starting";
    case ReplicaState::ready:
      return "ready";
    case ReplicaState::killing:
      return "killing";
    case ReplicaState::backoff:
      return "backoff";
    case ReplicaState::broken:
      return "broken";
  }
  return "unknown";
}

}  // namespace sheaf::core
