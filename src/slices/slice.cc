#include "slices/slice.h"

#include <algorithm>
#include <cmath>

namespace sheaf::slices {
namespace {

// The half-open range of part `index` when `total` things are cut into `parts` even parts.
struct Range {
  std::size_t begin, end;
};
Range part_of(std::size_t total, std::size_t parts, std::size_t index) {
  return {index * total / parts, (index + 1) * total / parts};
}

Slice make_slice(const Machine& machine, Range range) {
  Slice slice;
  slice.numa_node = machine.cores[range.begin].numa_node;
  for (std::size_t i = range.begin; i < range.end; ++i) slice.cpus.push_back(machine.cores[i].cpu);
  std::sort(slice.cpus.begin(), slice.cpus.end());
  slice.name = "cores:" + format_cpu_list(slice.cpus);
  const double share = machine.core_quota / static_cast<double>(machine.cores.size());
  const double threads = std::floor(share * static_cast<double>(slice.cpus.size()));
  slice.threads = std::clamp(static_cast<int>(threads), 1, static_cast<int>(slice.cpus.size()));
  return slice;
}

}  // namespace

std::vector<Slice> cut_cores(const Machine& machine, std::uint32_t count) {
  const std::size_t cores = machine.cores.size();
  std::vector<Slice> slices;
  if (count <= cores) {
    for (std::size_t i = 0; i < count; ++i)
      slices.push_back(make_slice(machine, part_of(cores, count, i)));
    return slices;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t core = i % cores;
    slices.push_back(make_slice(machine, {core, core + 1}));
  }
  return slices;
}

std::uint32_t default_replicas(const Machine& machine) {
  const auto granted = static_cast<int>(std::ceil(machine.core_quota));
  return static_cast<std::uint32_t>(std::max({1, machine.numa_nodes, granted / 8}));
}

std::string format_cpu_list(const std::vector<int>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[i]);
    if (last > i) text += '-' + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace sheaf::slices
