#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// What the machine has and how its cores are cut. Cards: gpu.h.
namespace sheaf::slices {

// A processor core (as the kernel counts them) that this process may use.
struct Core {
  int cpu = 0;  // the kernel's number
  int numa_node = 0;
};

// A memory domain.
struct NumaNode {
  int number = 0;  // the kernel's
  std::uint64_t memory_bytes = 0;
};

struct Machine {
  // In topological order: neighbours share as much as possible (hyper-threads of one physical
  // core, then a cache, then a NUMA node). Never empty.
  std::vector<Core> cores;
  // Cores' worth of time that the cgroup's quota grants; cores.size() without one.
  double core_quota = 0;
  int numa_nodes = 1;           // with usable cores
  std::string processor;        // "Intel(R) Xeon(R) …"; empty where the kernel does not tell
  int physical_cores = 0;       // that `cores` are threads of
  std::vector<NumaNode> nodes;  // that have memory, whether we may use their cores or not
};

// What a slice is of: processor cores, a whole card, a MIG device, or a share of one of the latter
// two, by MPS or in turns.
enum class SliceKind { cores, gpu, mig, mps, time };
std::string_view name_of(SliceKind kind);

// A place to run one replica: exactly one process at a time, or one for each rank of it.
struct Slice {
  // "cores:0-1", "gpu:0" (NVML's index), "mig:0/3" (card 0, GPU instance 3), "mig:0/3/1" (a compute
  // instance that has but a part of it), "time:0#1", "mps:0/3#0" (a share of a card or MIG device).
  std::string name;
  SliceKind kind = SliceKind::cores;
  std::string uuid;                // of the card or MIG device; empty of cores
  std::uint64_t memory_bytes = 0;  // of it that the replica may take; 0: of cores, the machine's
  // Of the card or MIG device, which is shared evenly: one of so many, counted from 0.
  std::uint32_t shares = 1, share = 0;
  std::vector<int> cpus;  // ascending; of a card's replica where its own threads run
  int threads = 1;        // that its replica should run: its part of the quota, at least one
  int numa_node = 0;      // of its first core
  std::vector<std::string> environment = {};  // "NAME=value", for its process
};

// The cores of this machine within the affinity mask and cgroup of this process. Takes a few
// milliseconds (the topology is read from /sys).
Result<Machine> detect_machine();

// Cuts the machine into `count` slices of neighbouring cores: disjoint while there are enough
// cores, whose numbers then differ by at most one; else single cores, shared as evenly as possible.
std::vector<Slice> cut_cores(const Machine& machine, std::uint32_t count);

// The same of a slice of this machine's cores, into one part for each process of its replica. All
// have as many threads as the one with the fewest cores: processes of a replica have to cut a batch
// alike, and how it is cut follows from the threads.
std::vector<Slice> cut_slice(const Machine& machine, const Slice& slice, std::uint32_t count);

// Replicas of `--num-replicas auto`: one per NUMA node or per 8 cores of the quota, whichever gives
// more.
std::uint32_t default_replicas(const Machine& machine);

// Where a slice of that name is: "0/3" of "mig:0/3" and of "mps:0/3#1", "0" of "gpu:0".
std::string_view place_in(std::string_view slice);

// {0, 1, 2, 5} -> "0-2,5". Ascending numbers.
std::string format_cpu_list(const std::vector<int>& cpus);
// And back: ascending, each once. Error invalid_argument: it is no such list.
Result<std::vector<int>> parse_cpu_list(std::string_view text);

// The quota of a cgroup in cores: of `cpu.max` (version 2, "200000 100000" or "max 100000"), or
// nothing below zero: no quota. Exposed for its test.
double parse_cpu_max(const std::string& text);

}  // namespace sheaf::slices
