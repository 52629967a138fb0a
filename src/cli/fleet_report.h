#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "slices/slice_sample.h"

namespace sheaf::cli {

// What a server says of itself at `GET /v1/fleet`. Counts are since each replica's first process.
struct ProcessReport {
  int pid = 0;
  std::optional<std::uint64_t> memory_bytes;  // resident
};
struct ReplicaReport {
  std::string name, slice, model, state;
  std::vector<ProcessReport> processes;  // that run, by rank
  std::uint64_t restarts = 0, tokens_in_flight = 0, tokens = 0;
  TimeUs busy_us = 0;
};
struct ModelReport {
  std::string name;
  std::uint64_t queue_items = 0, queue_tokens = 0;
};
struct FleetReport {
  bool ready = false;
  std::uint64_t open_requests = 0;
  TimeUs time_us = 0;  // on the server's clock
  std::vector<ReplicaReport> replicas;
  std::vector<ModelReport> models;
  std::vector<slices::SliceSample> slices;
};

// Error corrupt: this is no such report. Fields that are missing are as above.
Result<FleetReport> parse_fleet_report(std::string_view json);

// What a replica did between two reports; nothing where it is not in both or no time went by.
struct ReplicaRate {
  double tokens_per_s = 0;
  double busy = 0;  // 0 to 1: part of the time in which it computed
};
std::optional<ReplicaRate> rate_of(const FleetReport& before, const FleetReport& after,
                                   const ReplicaReport& replica);

}  // namespace sheaf::cli
