#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/fleet_report.h"
#include "slices/core_load.h"
#include "slices/slice_sample.h"

// What `sheaf top` shows: slices, and what runs there. Pure functions of plain values.
namespace sheaf::cli {

// A replica, or a process of somebody else.
struct TopTenant {
  std::string name;                      // of the replica, or of the process's program
  std::string model, state;              // of a replica
  std::vector<ProcessReport> processes;  // of a replica its ranks, else the one
  std::optional<ReplicaRate> rate;       // of a replica
  std::uint64_t tokens_in_flight = 0, restarts = 0;

  bool is_replica() const { return !model.empty(); }
  std::optional<std::uint64_t> memory_bytes() const;  // of all that tell
};

struct TopSlice {
  slices::SliceSample sample;
  std::vector<TopTenant> tenants;
};

// A served model: its replicas together.
struct TopModel {
  std::string name;
  std::uint64_t replicas = 0, replicas_ready = 0, queue_tokens = 0;
  std::optional<double> tokens_per_s;
};

struct TopReport {
  std::int64_t unix_s = 0;
  std::string server;                // "127.0.0.1:8080"
  std::string server_silent;         // why it does not answer; empty: it does
  bool of_this_machine = true;       // else of the server's, as the server tells
  Status gpus;                       // of this machine: why there are none
  std::size_t cores = 0;             // of this machine, that may be used
  std::optional<double> cores_load;  // all of them together
  std::uint64_t memory_used_bytes = 0, memory_bytes = 0;  // of this machine; 0: not known
  bool ready = false;                                     // of the server, like the others
  std::uint64_t open_requests = 0;
  std::vector<TopModel> models;
  std::vector<TopSlice> slices;
};

// Two looks at a machine and a server.
struct TopInput {
  std::vector<slices::SliceSample> cards;  // of this machine
  std::vector<int> cpus;                   // of this machine, that may be used
  slices::CoreTimes cores_before, cores_after;
  std::optional<FleetReport> fleet_before, fleet;
  bool server_is_here = true;  // on this machine
};

// Cards first, then the core sets of replicas, then the cores that no replica has. Fills what
// follows from the input; times, addresses and memory of the machine are the caller's.
TopReport join(const TopInput& input);

// {3, 4} of "cores:3-4"; empty where it is no such name.
std::vector<int> cpus_of_slice(std::string_view slice);

}  // namespace sheaf::cli
