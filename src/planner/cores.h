#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/plan.h"

namespace sheaf::planner {

// A machine without cards, or whose cards are not to be used. Its memory is one domain: weights are
// there once, however many replicas.
struct CoreMachine {
  std::uint32_t cores = 1;
  std::uint64_t memory_bytes = 0;
  double memory_utilization = 0.9;
};

// As `sheaf serve --num-replicas auto` has them.
constexpr std::uint32_t kCoresPerReplica = 8;
constexpr double kCoresBatchMs = 100;  // of a batch whose tokens are not set

struct CoreShare {
  std::uint32_t cores = 0;  // its own; 0: it takes turns with all others on all of them
  std::uint32_t replicas = 0;
  double tokens_per_s = 0;          // of all replicas, that a p99 leaves time for
  double replica_tokens_per_s = 0;  // of one while it computes
  double p99_ms = 0;                // a batch under way, then its own; of everyone on the cores
  bool met = false;
  std::string reason;
};

struct CorePlan {
  std::vector<CoreShare> models;  // as the demands stand
  std::uint64_t used_bytes = 0;
  std::uint64_t usable_bytes = 0;
  bool fits() const { return used_bytes <= usable_bytes; }
};

// Both rates of a demand are those on all cores, and so many cores do their part of it. Each model
// gets cores of its own, in whole numbers: what its target needs, and those left over go one by one
// to the target nearest its limit. Where they do not suffice as few targets as can be are missed.
// With more models than cores all of them share all. Processes are walls enough for isolation of
// memory; of `full` it is said where it cannot be had.
CorePlan plan_cores(const CoreMachine& machine, std::span<const Demand> demands);

}  // namespace sheaf::planner
