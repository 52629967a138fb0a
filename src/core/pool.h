#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/admission.h"
#include "core/balancer.h"
#include "core/death.h"
#include "core/queue.h"
#include "core/replica.h"
#include "core/request.h"
#include "core/suspects.h"

namespace sheaf::core {

// Where all pools put what is to be done.
struct Outbox {
  std::vector<Action> actions;
  BatchId next_batch = 1;
};

// One model: its replicas, its queue and its open requests. Models share nothing but the outbox, so
// the core is one pool a model. Replicas are named by position here: ReplicaId − the first one's.
// Events as in core.h.
class Pool {
 public:
  Pool(const CoreOptions& core, ModelId model, ReplicaId first_replica, Outbox& outbox);

  void start(TimeUs now_us);
  Status admit(TimeUs now_us, std::uint64_t tokens) const;
  void on_request(TimeUs now_us, RequestSpec spec);
  void on_cancel(TimeUs now_us, RequestId request);
  void on_ready(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                const ReplicaReady& limits);
  void on_exit(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
               const ExitReport& report);
  void on_progress(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                   const ProgressSample& sample);
  void on_items_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId batch,
                     std::uint32_t first, std::uint32_t count);
  void on_batch_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId batch,
                     TimeUs compute_us, const Error* failure);
  void on_tick(TimeUs now_us);
  void on_drain(TimeUs now_us);
  TimeUs next_tick_us() const;

  std::size_t open_requests() const { return requests_.size(); }
  ReplicaStatus replica_status(std::uint32_t position) const;
  ModelStatus status() const;

 private:
  using Requests = std::unordered_map<RequestId, Request>;

  // Requests: in and out.
  Status accepts(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const;
  Load load() const;
  std::uint64_t tokens_ahead(TimeUs now_us, TenantId tenant, std::uint64_t own,
                             std::uint64_t tokens) const;
  Queue::Place place_of(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const;
  double ready_tokens_per_s() const;
  double all_tokens_per_s() const;
  std::uint64_t queue_tokens_max() const;
  Request& add_request(TimeUs now_us, RequestSpec spec, std::uint64_t tokens);
  void enqueue(TimeUs now_us, Request& request, std::uint64_t tokens);
  void answer(Requests::iterator request);
  void refuse(Requests::iterator request, Error error);
  void refuse(RequestId request, Error error);
  void end(Requests::iterator request);
  void release(const RequestItem& item);
  void expire(TimeUs now_us);
  void refuse_if_starved(TimeUs now_us);
  bool starved(TimeUs now_us) const;
  Error no_replica_error(TimeUs now_us) const;

  // Batches: out and back.
  void dispatch(TimeUs now_us);
  void dispatch_suspects(TimeUs now_us);
  void dispatch_common(TimeUs now_us);
  void dispatch_bound(TimeUs now_us);
  std::optional<std::uint32_t> witness_for(TimeUs now_us, const Suspects::Group& group) const;
  bool fits(TimeUs now_us, const Replica& replica, const std::vector<QueuedItem>& items) const;
  bool is_reserved(std::uint32_t position) const { return witness_ == position; }
  std::vector<std::uint32_t> find_candidates(TimeUs now_us, std::vector<Candidate>& out) const;
  BatchLimit limit_for(TimeUs now_us, const Replica& replica, std::uint64_t share) const;
  void send_probe(TimeUs now_us, std::uint32_t position);
  BatchId send(TimeUs now_us, std::uint32_t position, std::vector<QueuedItem> items);
  void mark_done(const Batch& batch, std::uint32_t position, const ItemRef& ref);
  void settle(TimeUs now_us, std::uint32_t position, const Batch& batch, Blame blame,
              const std::string& cause);
  std::vector<QueuedItem> take_unfinished(const Batch& batch);
  void answer_completed(const Batch& batch);
  void retry(TimeUs now_us, std::uint32_t position, const Batch& batch,
             std::vector<QueuedItem> items, Blame blame, const std::string& cause);
  void give_back(const QueuedItem& item);
  void suspect(TimeUs now_us, std::uint32_t position, const QueuedItem& item, bool alone,
               const std::string& cause);
  void refuse_poisonous(TimeUs now_us, const QueuedItem& item, const std::string& cause);

  // Replicas: up and down.
  void start_replica(TimeUs now_us, std::uint32_t position);
  void kill(TimeUs now_us, std::uint32_t position, Blame blame, bool failure,
            const std::string& reason);
  void lose_work(TimeUs now_us, std::uint32_t position, Blame blame, const std::string& cause);
  void restart(TimeUs now_us, std::uint32_t position);
  void stop_all();
  void note_readiness(TimeUs now_us);
  void after_event(TimeUs now_us);
  void notice(Notice::Level level, std::string text);
  std::string name(std::uint32_t position) const;

  const ModelOptions options_;
  const TimeUs no_replica_timeout_us_;
  const ModelId model_;
  const ReplicaId first_replica_;
  Outbox& outbox_;
  std::unique_ptr<Balancer> balancer_;
  std::vector<Replica> replicas_;

  Requests requests_;
  std::set<std::pair<TimeUs, RequestId>> deadlines_;
  Queue queue_;  // the common one
  Suspects suspects_;
  std::optional<std::uint32_t> witness_;   // kept free, or in use, for the next group of suspects
  std::optional<BatchId> suspects_batch_;  // in flight at the witness
  std::uint64_t waiting_items_ = 0;        // in all queues and suspects
  std::uint64_t waiting_tokens_ = 0;
  TimeUs no_ready_since_us_ = -1;  // -1: some replica is ready
  TimeUs last_batch_end_us_ = -1;
  TimeUs last_event_us_ = 0;
  bool draining_ = false;
  bool stopped_ = false;
};

}  // namespace sheaf::core
