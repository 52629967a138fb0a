#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "slices/slice.h"

// hwloc rather than /sys by hand: it costs 2-10 ms once, in the router alone, and it knows the
// order of packages, NUMA nodes, caches and hyper-threads on machines that we have never seen.
namespace sheaf::slices {
namespace {

struct TopologyDelete {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, TopologyDelete>;
struct BitmapDelete {
  void operator()(hwloc_bitmap_s* bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, BitmapDelete>;

Result<Topology> load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return errno_error("hwloc", errno);
  Topology topology(raw);
  if (hwloc_topology_load(raw) != 0) return errno_error("hwloc: reading the topology", errno);
  return topology;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The quota along the way from our cgroup up to the root: the smallest one binds. Version 2 first,
// then version 1's pair of files; -1 without any.
double quota_of(const std::string& folder) {
  const double quota = parse_cpu_max(read_file(folder + "/cpu.max"));
  if (quota > 0) return quota;
  return parse_cpu_max(read_file(folder + "/cpu.cfs_quota_us") + " " +
                       read_file(folder + "/cpu.cfs_period_us"));
}

// Lines of /proc/self/cgroup: "0::/path" (version 2) or "1:cpu,cpuacct:/path".
double cgroup_quota() {
  double least = -1;
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && ("," + controllers + ",").find(",cpu,") == std::string::npos)
      continue;
    const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(second + 1);;) {
      const double quota = quota_of(root + path);
      if (quota > 0 && (least < 0 || quota < least)) least = quota;
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

std::vector<NumaNode> numa_nodes(hwloc_topology_t topology) {
  std::vector<NumaNode> nodes;
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;)
    nodes.push_back({static_cast<int>(node->os_index), node->attr->numanode.local_memory});
  return nodes;
}

std::string processor_name(hwloc_topology_t topology) {
  const hwloc_obj_t package = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PACKAGE, nullptr);
  const char* name = package == nullptr ? nullptr : hwloc_obj_get_info_by_name(package, "CPUModel");
  return name == nullptr ? "" : name;
}

}  // namespace

double parse_cpu_max(const std::string& text) {
  std::istringstream words(text);
  double quota = 0, period = 0;
  if (!(words >> quota >> period) || quota <= 0 || period <= 0) return -1;
  return quota / period;
}

Result<Machine> detect_machine() {
  SHEAF_ASSIGN(const Topology topology, load_topology());
  // The topology holds what the cgroup's cpuset allows; the affinity mask may allow less.
  const Bitmap allowed(hwloc_bitmap_alloc());
  if (hwloc_get_cpubind(topology.get(), allowed.get(), HWLOC_CPUBIND_PROCESS) != 0)
    hwloc_bitmap_fill(allowed.get());

  Machine machine;
  machine.processor = processor_name(topology.get());
  machine.nodes = numa_nodes(topology.get());
  std::set<int> nodes;
  std::set<hwloc_obj_t> physical;
  for (hwloc_obj_t core = nullptr;
       (core = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, core)) != nullptr;) {
    if (!hwloc_bitmap_isset(allowed.get(), core->os_index)) continue;
    const int node = core->nodeset == nullptr ? 0 : hwloc_bitmap_first(core->nodeset);
    machine.cores.push_back({static_cast<int>(core->os_index), std::max(node, 0)});
    nodes.insert(machine.cores.back().numa_node);
    physical.insert(hwloc_get_ancestor_obj_by_type(topology.get(), HWLOC_OBJ_CORE, core));
  }
  if (machine.cores.empty())
    return Error{ErrorCode::unsupported, "this process may use no processor core"};
  machine.numa_nodes = static_cast<int>(nodes.size());
  machine.physical_cores = static_cast<int>(physical.size());
  const auto count = static_cast<double>(machine.cores.size());
  const double quota = cgroup_quota();
  machine.core_quota = quota > 0 ? std::min(quota, count) : count;
  return machine;
}

}  // namespace sheaf::slices
