#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/admission.h"
#include "core/balancer.h"
#include "core/batcher.h"
#include "core/inquest.h"
#include "core/open_requests.h"
#include "core/outbox.h"
#include "core/queue.h"
#include "core/random.h"
#include "core/replicas.h"

namespace sheaf::core {

// One model: its open requests, its queue, its replicas and its inquest, and what an event means
// for each of them. Models share nothing but the outbox, so the core is one pool a model. Replicas
// are named by position here: ReplicaId − the first one's. Events as in core.h.
class Pool {
 public:
  Pool(const CoreOptions& core, ModelId model, ReplicaId first_replica, Outbox& outbox);

  void start(TimeUs now_us);
  Status admit(TimeUs now_us, std::uint64_t tokens, StreamId stream) const;
  void on_request(TimeUs now_us, const RequestSpec& spec);
  void on_cancel(TimeUs now_us, RequestId request);
  void on_ready(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                const ReplicaReady& limits);
  void on_waits(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                const std::string& reason);
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
  // Requests: in and out.
  Status accepts(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const;
  Load load(StreamId stream) const;
  std::uint64_t tokens_ahead(TimeUs now_us, TenantId tenant, std::uint64_t own,
                             std::uint64_t tokens) const;
  Queue::Place place_of(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const;
  std::uint64_t queue_tokens_max() const;
  void enqueue(TimeUs now_us, Request& request, std::uint64_t tokens);
  void answer(const Request& request);
  void refuse(const Request& request, Error error);
  void refuse(RequestId request, Error error);
  void end(const Request& request);
  void release(const RequestItem& item);
  void expire(TimeUs now_us);
  void refuse_if_starved(TimeUs now_us);

  // Batches: out and back.
  void dispatch(TimeUs now_us);
  void dispatch_trials(TimeUs now_us);
  void dispatch_common(TimeUs now_us);
  void dispatch_bound(TimeUs now_us);
  std::vector<std::uint32_t> find_candidates(TimeUs now_us, std::vector<Candidate>& out) const;
  BatchLimit limit_for(TimeUs now_us, const Replica& replica, std::uint64_t share) const;
  void send(TimeUs now_us, std::uint32_t position, std::vector<QueuedItem> items);
  void settle(TimeUs now_us, std::uint32_t position, const Batch& batch, Blame blame,
              const std::string& cause);
  void answer_completed(const Batch& batch);
  void refuse_poisonous(Inquest::Verdict verdict);

  // Replicas.
  void kill(TimeUs now_us, std::uint32_t position, const Death& death);
  void lose_work(TimeUs now_us, std::uint32_t position, const Death& death);

  void after_event(TimeUs now_us);

  const ModelOptions options_;
  const ModelId model_;
  Outbox& outbox_;
  Random seeds_;
  std::unique_ptr<Balancer> balancer_;
  Replicas replicas_;
  OpenRequests requests_;
  Queue queue_;  // the common one
  Inquest inquest_{requests_, replicas_};
  TimeUs last_batch_end_us_ = -1;
  TimeUs last_event_us_ = 0;
  bool draining_ = false;
};

}  // namespace sheaf::core
