#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/core.h"

namespace sheaf::core {

// Everything that one run of the simulation is made of, but for the small change (latencies, noise)
// which it draws from the seed as it goes.
struct Scenario {
  enum class Text { innocent, crashes, hangs, exhausts };  // what it does to a replica
  struct Arrival {
    TimeUs at_us = 0;
    RequestSpec request;
    std::vector<Text> texts;         // one an item
    std::optional<RequestId> after;  // arrives when that one has ended, though not before at_us
    std::optional<TimeUs> cancel_us;
  };
  // What happens to whatever process the replica has by then.
  enum class FaultKind {
    kill,           // SIGKILL by somebody else
    stop,           // SIGSTOP, and nobody continues it
    stop_a_moment,  // SIGSTOP, SIGCONT a little later
    crash,          // SIGSEGV by itself
    leave,          // exits by itself
    hang,           // computes for ever, or sleeps for ever
    broken_frames,
    refuse_batch,  // the replica's own refusal of the batch that it runs
    lose_slice,    // where it runs vanishes; the next one may have to wait for another place
  };
  struct Fault {
    TimeUs at_us = 0;
    FaultKind kind = FaultKind::kill;
    ReplicaId replica = 0;
  };
  struct Machine {  // where a replica runs
    double tokens_per_s = 20'000;
    TimeUs overhead_us = 200;
    std::uint64_t memory_tokens = UINT64_MAX;  // a larger batch exhausts it
    bool refuses_when_exhausted = false;       // else it is killed
    ReplicaReady limits;
  };

  std::uint64_t seed = 0;
  CoreOptions core;
  std::vector<Machine> machines;  // by ReplicaId
  std::vector<Arrival> arrivals;  // by time
  std::vector<Fault> faults;      // by time
  double start_failure = 0;       // share of starts that fail, until faults_end_us
  double repeated_frame = 0;      // share of frames that arrive twice
  double noise = 0.3;             // batches take up to this much longer or shorter
  TimeUs faults_end_us = 0;
  std::optional<TimeUs> drain_us;
};

// Anything that can happen, in a size that runs within milliseconds.
Scenario random_scenario(std::uint64_t seed);

// Two healthy replicas; for 10 s a stream that has messages_open of the longest texts under way all
// the time, and queries, short ones, that take `query_load` of what the replicas can do. The
// messages' ids are below 1,000,000, those of the queries above. Nobody's deadline passes.
struct StreamLoad {
  double query_load = 0.1;
  std::uint32_t query_tokens = 20;
  std::uint32_t messages_open = 256;
  bool known = true;  // to the core, as one stream; else its messages are like anybody's
};
Scenario stream_scenario(std::uint64_t seed, const StreamLoad& load);
constexpr RequestId kFirstQuery = 1'000'000;

// Two healthy replicas and `demand` times the tokens that they can do, for 20 s; every client waits
// one second for its answer.
Scenario overload_scenario(std::uint64_t seed, double demand);
double overload_capacity_tokens_per_s();
TimeUs overload_duration_us();

}  // namespace sheaf::core
