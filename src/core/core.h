#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// The deterministic core: admission, queue, batcher, balancer, retry and the
// supervisor's state machine as one object that takes events and returns actions. It has no thread,
// clock, socket, process or global state of its own: the same events at the same times with the
// same seed give the same actions, so the code that serves is the code that the simulation runs.
// Payloads (ids, vectors) never enter it; the driver (src/router) keeps them by RequestId.
namespace sheaf::core {

using RequestId = std::uint64_t;  // chosen by the driver, never reused
using BatchId = std::uint64_t;    // chosen by the core, never reused
using ModelId = std::uint32_t;    // index into CoreOptions::models
using ReplicaId =
    std::uint32_t;  // index over all models' replicas, in order; a place, not a process
using Incarnation =
    std::uint32_t;  // of a replica: 1 for its first process, one more for each later one
using TenantId = std::uint32_t;
using StreamId = std::uint64_t;  // chosen by the driver, never reused; 0: none

enum class Policy { predictive, least_loaded, round_robin, random };
std::optional<Policy> parse_policy(std::string_view name);
std::string_view name_of(Policy policy);

struct ModelOptions {
  std::uint32_t replicas = 1;
  Policy policy = Policy::predictive;
  std::uint32_t max_length = 512;      // longest text, tokens
  std::uint32_t max_batch_tokens = 0;  // 0: learnt, what a replica does in target_batch_us
  TimeUs target_batch_us = 100'000;  // of a whole replica: with several lanes a batch takes longer
  double initial_tokens_per_s = 5'000;  // until a rate has been learnt
  std::uint64_t queue_tokens_max = 0;   // 0: 30 s of learnt rate over all replicas, at least 1 M
};

struct CoreOptions {
  std::vector<ModelOptions> models;
  std::uint64_t seed = 1;
  TimeUs no_replica_timeout_us = 10'000'000;  // waiting without any ready replica, then unavailable
  TimeUs hang_cpu_us = 500'000;               // no progress for this much of its own CPU time
  TimeUs hang_wall_us = 500'000;  // no progress for max(this, 5 × expected) of time not starved
  TimeUs start_timeout_us = 60'000'000;
};

struct RequestSpec {
  RequestId id = 0;
  ModelId model = 0;
  TenantId tenant = 0;
  // Whose messages arrive one by one, each a request. The queue weighs what the stream has open as
  // if it were one request, and they keep their order.
  StreamId stream = 0;
  TimeUs deadline_us = 0;                  // absolute
  std::vector<std::uint32_t> item_tokens;  // one a text, each 1 .. max_length
};

struct ItemRef {
  RequestId request = 0;
  std::uint32_t index = 0;
  bool operator==(const ItemRef&) const = default;
};

struct ReplicaReady {
  std::uint32_t max_batch_tokens = 0;  // what its channel and working set can hold
  std::uint32_t max_batch_items = 0;
  std::uint32_t lanes = 1;  // batches that it runs at once: streams of its card
};

// How a replica's process ended.
struct ExitReport {
  // slice_lost: the driver ended it because the place where it ran is gone, or was spoilt.
  enum class Kind { exit_code, signal, spawn_failed, protocol_error, slice_lost };
  Kind kind = Kind::exit_code;
  int value = 0;  // exit code or signal number
  // SIGKILL with the cgroup's oom_kill counter risen, or it said that its card has no room.
  bool out_of_memory = false;
  std::string detail;
};

// Sampled by the driver every 50 ms while a replica has work.
struct ProgressSample {
  std::uint64_t counter = 0;  // the replica's progress counter
  TimeUs cpu_us = 0;          // CPU time its process has used
  bool stopped = false;       // process state T
  TimeUs starved_us = 0;      // its threads have been ready to run, but without a core; their sum
};

// ---- actions, in the order in which the driver must carry them out

struct SendBatch {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  BatchId batch = 0;
  std::uint32_t tokens = 0;
  std::vector<ItemRef> items;  // none: a probe, one token for nobody
};
struct CancelBatch {  // nobody waits for it any more; the replica may skip it
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  BatchId batch = 0;
};
struct Answer {  // every item of the request is done
  RequestId request = 0;
  ReplicaId replica = 0;  // that did the last of it
  // Longest wait of an item until its (last) batch began to run, less the time in which batches
  // that ended before computed for the request.
  TimeUs queue_us = 0;
  TimeUs compute_us = 0;       // while any of its batches computed, as far as replicas have said
  std::uint32_t attempts = 1;  // most runs of an item
};
struct Refuse {
  RequestId request = 0;
  Error error;
};
struct StartReplica {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
};
struct StopReplica {  // drained: close its control socket, it exits by itself
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
};
struct KillReplica {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  std::string reason;
};
struct Notice {  // for the log: one sentence
  enum class Level { info, warn, error };
  Level level = Level::info;
  std::string text;
};
using Action = std::variant<SendBatch, CancelBatch, Answer, Refuse, StartReplica, StopReplica,
                            KillReplica, Notice>;

// ---- what health, metrics and the status page show

enum class ReplicaState {
  stopped,
  waiting,  // for a place to run: see Core::on_replica_waits()
  starting,
  ready,
  killing,
  backoff,
  broken
};  // broken: breaker open
std::string_view name_of(ReplicaState state);

struct ReplicaStatus {
  ModelId model = 0;
  ReplicaState state = ReplicaState::stopped;
  Incarnation incarnation = 0;
  std::uint32_t restarts = 0;
  std::uint32_t batches_in_flight = 0;
  std::uint64_t tokens_in_flight = 0;
  double tokens_per_s = 0;  // learnt
  std::uint64_t batches = 0;
  std::uint64_t tokens = 0;
  TimeUs busy_us = 0;  // sum of its batches' compute time
  std::string last_death;
};

struct ModelStatus {
  std::uint64_t queue_items = 0;
  std::uint64_t queue_tokens = 0;
  std::uint64_t queue_tokens_max = 0;
  std::uint32_t replicas_ready = 0;
  TimeUs last_batch_end_us = -1;
};

// One thread at a time. Every on_…() is an event at time `now_us` (never decreasing); the actions
// that follow are collected and fetched by take_actions(). Events about an incarnation that is
// over, an unknown batch or an unknown request are ignored: late news is normal.
class Core {
 public:
  explicit Core(const CoreOptions& options);
  ~Core();

  void start(TimeUs now_us);  // asks for all replicas

  // At the door, before tokenizing: would a request of about this many tokens be taken now?
  // (overloaded with Retry-After, or unavailable while draining.) One larger than the bound is
  // taken when the queue is empty. A stream can wait, others cannot: half of the queue is kept from
  // those that have a request open already.
  Status admit(TimeUs now_us, ModelId model, std::uint64_t estimated_tokens,
               StreamId stream = 0) const;

  // Queues it. Refused (by action) if it does not fit the queue, its deadline is over, or the core
  // drains.
  void on_request(TimeUs now_us, const RequestSpec& request);
  void on_cancel(TimeUs now_us, RequestId request);  // the client went away; no answer will follow

  void on_replica_ready(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                        const ReplicaReady& ready);
  // A replica that is to start has no place to run: its start takes no time until it has one, and
  // is no failure. Again with an empty reason when it has.
  void on_replica_waits(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                        const std::string& reason);
  void on_replica_exit(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                       const ExitReport& report);
  void on_progress(TimeUs now_us, ReplicaId replica, Incarnation incarnation,
                   const ProgressSample& sample);
  // Items of a batch whose results have arrived, by position in SendBatch::items.
  void on_items_done(TimeUs now_us, ReplicaId replica, Incarnation incarnation, BatchId batch,
                     std::uint32_t first, std::uint32_t count);
  // The batch is over; items not reported done before are run again. `failure` (nullable) is the
  // replica's own refusal of the whole batch, e.g. out of memory: it counts like a death for the
  // items in it. A request whose last item this batch held is answered here rather than at
  // on_items_done, so that its compute time is known.
  void on_batch_done(TimeUs now_us, ReplicaId replica, Incarnation incarnation, BatchId batch,
                     TimeUs compute_us, const Error* failure);

  void on_tick(TimeUs now_us);   // call at or after next_tick_us()
  TimeUs next_tick_us() const;   // when time alone changes something; INT64_MAX if never
  void on_drain(TimeUs now_us);  // no new requests; replicas stop when the last item is answered
  bool drained() const;          // draining, and nothing is open

  std::vector<Action> take_actions();

  std::size_t replica_count() const;
  ReplicaStatus replica_status(ReplicaId replica) const;
  ModelStatus model_status(ModelId model) const;
  std::size_t open_requests() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sheaf::core
