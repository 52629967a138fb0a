#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/core.h"

namespace sheaf::core {

// A core and what it has asked for so far; time is what the test says.
struct Bench {
  explicit Bench(ModelOptions model) : core(options_of(model)) {
    core.start(now);
    take();
  }
  static CoreOptions options_of(const ModelOptions& model) {
    CoreOptions options;
    options.models = {model};
    return options;
  }

  void take() {
    std::vector<SendBatch> new_probes;
    for (Action& action : core.take_actions()) {
      if (auto* sent = std::get_if<SendBatch>(&action))
        (sent->items.empty() ? new_probes : batches).push_back(*sent);
      if (auto* cancel = std::get_if<CancelBatch>(&action)) cancels.push_back(*cancel);
      if (auto* answer = std::get_if<Answer>(&action)) answers.push_back(*answer);
      if (auto* refuse = std::get_if<Refuse>(&action)) refusals[refuse->request] = refuse->error;
      if (auto* start = std::get_if<StartReplica>(&action)) starts.push_back(*start);
      if (auto* stop = std::get_if<StopReplica>(&action)) stops.push_back(*stop);
      if (auto* kill = std::get_if<KillReplica>(&action)) kills.push_back(*kill);
    }
    probes.insert(probes.end(), new_probes.begin(), new_probes.end());
    if (!probes_pass) return;
    for (const SendBatch& probe : new_probes) done(probe, 100);
  }
  Incarnation incarnation(ReplicaId replica) { return core.replica_status(replica).incarnation; }
  ReplicaState state(ReplicaId replica) { return core.replica_status(replica).state; }

  void ready(ReplicaId replica, std::uint32_t tokens = 16'384, std::uint32_t items = 4'096,
             std::uint32_t lanes = 1) {
    core.on_replica_ready(now, replica, incarnation(replica), {tokens, items, lanes});
    take();
  }
  void request(RequestId id, std::vector<std::uint32_t> tokens, TimeUs deadline_us = 300 * kSecond,
               TenantId tenant = 0, StreamId stream = 0) {
    RequestSpec spec;
    spec.id = id;
    spec.tenant = tenant;
    spec.stream = stream;
    spec.deadline_us = deadline_us;
    spec.item_tokens = std::move(tokens);
    core.on_request(now, spec);
    take();
  }
  // A message of stream 1.
  void message(RequestId id, std::uint32_t tokens, TimeUs deadline_us = 300 * kSecond) {
    request(id, {tokens}, deadline_us, 0, 1);
  }
  void done(const SendBatch& batch, TimeUs compute_us = 10'000) {
    core.on_items_done(now, batch.replica, batch.incarnation, batch.batch, 0,
                       static_cast<std::uint32_t>(batch.items.size()));
    core.on_batch_done(now, batch.replica, batch.incarnation, batch.batch, compute_us, nullptr);
    take();
  }
  void fail(const SendBatch& batch, const std::string& message) {
    const Error error{ErrorCode::internal, message};
    core.on_batch_done(now, batch.replica, batch.incarnation, batch.batch, 0, &error);
    take();
  }
  void die(ReplicaId replica, int signal, bool out_of_memory = false) {
    exit(replica, {ExitReport::Kind::signal, signal, out_of_memory, ""});
  }
  void exit(ReplicaId replica, const ExitReport& report) {
    core.on_replica_exit(now, replica, incarnation(replica), report);
    take();
  }
  void sample(ReplicaId replica, const ProgressSample& sample) {
    core.on_progress(now, replica, incarnation(replica), sample);
    take();
  }
  void tick() {
    core.on_tick(now);
    take();
  }
  void tick_at(TimeUs time_us) {
    now = time_us;
    tick();
  }
  // Lets time pass tick by tick until `time_us`.
  void pass_until(TimeUs time_us) {
    while (core.next_tick_us() <= time_us) tick_at(std::max(now, core.next_tick_us()));
    now = time_us;
  }

  TimeUs now = 0;
  Core core;
  std::vector<SendBatch> batches;  // with items
  std::vector<SendBatch> probes;
  bool probes_pass = true;
  std::vector<CancelBatch> cancels;
  std::vector<Answer> answers;
  std::map<RequestId, Error> refusals;
  std::vector<StartReplica> starts;
  std::vector<StopReplica> stops;
  std::vector<KillReplica> kills;
};

inline ModelOptions replicas(std::uint32_t count, Policy policy = Policy::predictive) {
  ModelOptions model;
  model.replicas = count;
  model.policy = policy;
  return model;
}

inline std::vector<std::uint32_t> texts(std::size_t count, std::uint32_t tokens) {
  return std::vector<std::uint32_t>(count, tokens);
}

}  // namespace sheaf::core
