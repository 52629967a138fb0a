#pragma once

#include <cstdint>
#include <string>

#include "core/balancer.h"
#include "core/batcher.h"
#include "core/flight.h"
#include "core/queue.h"
#include "core/rate.h"
#include "core/supervisor.h"
#include "core/watchdog.h"

namespace sheaf::core {

// What the pool keeps of one replica: the place, which outlives its processes.
struct Replica {
  Replica(const CoreOptions& core, const ModelOptions& model, std::uint64_t seed)
      : supervisor(core.start_timeout_us, seed),
        watchdog(core.hang_cpu_us, core.hang_wall_us),
        rate(model.initial_tokens_per_s) {}

  // May it be sent a batch now? Yes if a lane is idle, or will soon be.
  bool has_room(TimeUs now_us, TimeUs lead_us) const;
  // When the passing of time alone gives it room; INT64_MAX if it never does.
  TimeUs room_us(TimeUs now_us, TimeUs lead_us) const;
  std::uint64_t limit_tokens(TimeUs now_us) const;
  // A batch of so many tokens was too large for it: for a minute none above half of it is sent.
  void note_too_large(TimeUs now_us, std::uint64_t batch_tokens, std::uint64_t floor_tokens);
  // Learns from a batch that is done: its rate is that of all lanes together.
  void count(TimeUs now_us, const Batch& batch, TimeUs compute_us);
  ReplicaStatus status(ModelId model) const;

  Supervisor supervisor;
  Watchdog watchdog;
  Rate rate;
  Flight flight;
  Queue bound;  // items bound to it at arrival
  ReplicaReady limits;
  std::string last_death;

 private:
  std::uint64_t memory_limit_tokens_ = 0;
  TimeUs memory_limit_until_us_ = 0;
  std::uint64_t batches_ = 0;
  std::uint64_t tokens_ = 0;
  TimeUs busy_us_ = 0;
  TimeUs counted_until_us_ = 0;
};

}  // namespace sheaf::core
