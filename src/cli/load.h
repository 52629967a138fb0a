#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/load_target.h"

namespace sheaf::cli {

struct LoadPlan {
  std::uint32_t lanes = 64;  // requests under way at most
  // Requests a second. 0 is a closed loop: every lane sends as soon as it has its answer. Above 0
  // requests are due at even intervals, and latency counts from when a request was due, however
  // long it had to wait for a free lane: a slow server cannot hide its own queue.
  double rate = 0;
  // Not counted. With a rate or a number of requests, all its answers are awaited first.
  TimeUs warmup_us = 1'000'000;
  TimeUs duration_us = 10'000'000;
  std::uint64_t requests = 0;  // above 0: so many instead of a duration
  // SIGINT and SIGTERM end the run: what is under way is awaited, and counted. The next one of them
  // ends the program as ever.
  bool ends_at_signal = false;
};

// Of one run, warm-up left out.
struct LoadResult {
  std::vector<std::uint32_t> latencies_us;  // of answered requests, late ones too, sorted
  std::vector<std::uint32_t> overheads_us;  // latency minus the replica's compute time, sorted
  std::uint64_t answered = 0;               // within the measured time
  std::uint64_t tokens = 0;                 // of those
  std::uint64_t errors = 0;
  std::uint64_t unsent = 0;  // open loop: due, but no lane was free until the end
  std::string first_error;
  double seconds = 0;
  bool ended_by_signal = false;
};

// How far a run is: done and total, in requests or milliseconds of the plan.
using LoadProgress = std::function<void(std::uint64_t done)>;

// Runs the plan over the target's prepared requests in turn, on the calling thread.
LoadResult run_load(LoadTarget& target, const LoadPlan& plan, const LoadProgress& progress);

// The value below which a share `q` of the sorted values lies (nearest rank); 0 without values.
double quantile(const std::vector<std::uint32_t>& sorted, double q);

}  // namespace sheaf::cli
