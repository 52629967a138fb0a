#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/death.h"
#include "core/outbox.h"
#include "core/random.h"
#include "core/replica.h"

namespace sheaf::core {

// The replicas of one model, named by position: ReplicaId − the first one's. Brings them up and
// down, and says what they can do together. The work that a dead one leaves is the pool's.
class Replicas {
 public:
  Replicas(const CoreOptions& core, ModelId model, ReplicaId first, Random& seeds, Outbox& outbox);

  std::uint32_t size() const { return static_cast<std::uint32_t>(all_.size()); }
  Replica& operator[](std::uint32_t position) { return all_[position]; }
  const Replica& operator[](std::uint32_t position) const { return all_[position]; }
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }
  ReplicaId id(std::uint32_t position) const { return first_ + position; }

  void start(TimeUs now_us, std::uint32_t position);
  void kill(std::uint32_t position, const Death& death);
  void ended_by_itself(TimeUs now_us, std::uint32_t position, const Death& death);
  // After the end of a process: starts the next one, or says when.
  void restart(TimeUs now_us, std::uint32_t position);
  // For a place to run; with an empty reason: no longer.
  void wait(TimeUs now_us, std::uint32_t position, const std::string& reason);
  void stop_all();  // drained: none is started any more
  bool stopped() const { return stopped_; }
  TimeUs next_us() const;  // when the next start is due or takes too long; INT64_MAX if never

  double ready_tokens_per_s() const;
  // Of dead replicas too: they will be back before a long queue is served.
  double all_tokens_per_s() const;
  bool rates_learnt() const;  // of all that are ready
  // What will probably be computed until all batches in flight are done.
  std::uint64_t tokens_in_flight(TimeUs now_us) const;

  // Starved: no replica has been ready for too long, or all are broken and none is tried again
  // before that. note_readiness() is to be called after every event.
  void note_readiness(TimeUs now_us);
  bool starved(TimeUs now_us) const;
  TimeUs starved_from_us() const;  // at the latest, if none gets ready; INT64_MAX if one is
  Error starved_error(TimeUs now_us) const;

 private:
  std::string name(std::uint32_t position) const;

  const ReplicaId first_;
  const TimeUs no_replica_timeout_us_;
  Outbox& outbox_;
  std::vector<Replica> all_;
  TimeUs no_ready_since_us_ = -1;  // -1: some replica is ready
  bool stopped_ = false;
};

}  // namespace sheaf::core
