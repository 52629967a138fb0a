#pragma once

#include <cstdint>
#include <string>
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

// A place to run one replica.
struct Slice {
  std::string name;       // "cores:0-1"
  std::vector<int> cpus;  // ascending
  int threads = 1;        // that its replica should run: its part of the quota, at least one
  int numa_node = 0;      // of its first core
};

// The cores of this machine within the affinity mask and cgroup of this process. Takes a few
// milliseconds (the topology is read from /sys).
Result<Machine> detect_machine();

// Cuts the machine into `count` slices of neighbouring cores: disjoint while there are enough
// cores, whose numbers then differ by at most one; else single cores, shared as evenly as possible.
std::vector<Slice> cut_cores(const Machine& machine, std::uint32_t count);

// Replicas of `--num-replicas auto`: one per NUMA node or per 8 cores of the quota, whichever gives
// more.
std::uint32_t default_replicas(const Machine& machine);

// {0, 1, 2, 5} -> "0-2,5". Ascending numbers.
std::string format_cpu_list(const std::vector<int>& cpus);

// The quota of a cgroup in cores: of `cpu.max` (version 2, "200000 100000" or "max 100000"), or
// nothing below zero: no quota. Exposed for its test.
double parse_cpu_max(const std::string& text);

}  // namespace sheaf::slices
