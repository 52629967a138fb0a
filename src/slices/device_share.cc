#include "slices/device_share.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "slices/mps.h"

namespace sheaf::slices {
namespace {

std::vector<int> cores_near(const Machine& machine, int numa_node) {
  std::vector<int> near, all;
  for (const Core& core : machine.cores) {
    all.push_back(core.cpu);
    if (core.numa_node == numa_node) near.push_back(core.cpu);
  }
  std::vector<int>& cpus = near.empty() ? all : near;
  std::ranges::sort(cpus);
  return cpus;
}

int node_of(const Machine& machine, const std::vector<int>& cpus) {
  for (const Core& core : machine.cores)
    if (core.cpu == cpus.front()) return core.numa_node;
  return 0;
}

}  // namespace

std::uint64_t usable_bytes(const Device& device, const PlacementRules& rules) {
  const double share = static_cast<double>(device.memory_bytes) * rules.memory_utilization;
  return std::min(static_cast<std::uint64_t>(share), device.free_bytes);
}

std::uint64_t share_bytes(const Device& device, std::uint32_t shares, const SharedBytes& weights,
                          const PlacementRules& rules) {
  const std::uint64_t usable = usable_bytes(device, rules);
  return weights.own + (usable - std::min(usable, weights.all)) / shares;
}

Slice slice_on(const Device& device, std::uint32_t shares, std::uint32_t share,
               const SharedBytes& weights, const PlacementRules& rules) {
  Slice slice;
  slice.uuid = device.uuid;
  slice.shares = shares;
  slice.share = share;
  slice.memory_bytes = share_bytes(device, shares, weights, rules);
  slice.environment = {fmt::format("SHEAF_DEVICE_MEMORY_BYTES={}", slice.memory_bytes)};
  const bool mps = rules.assignment == Assignment::mps;
  const std::vector<std::string> device_environment =
      mps ? mps_client_environment(rules.slices_folder, device.uuid, std::max(100 / shares, 1u),
                                   slice.memory_bytes)
          : std::vector{"CUDA_VISIBLE_DEVICES=" + device.uuid};
  slice.environment.insert(slice.environment.end(), device_environment.begin(),
                           device_environment.end());
  if (shares == 1 && !mps) {
    slice.kind = device.mig ? SliceKind::mig : SliceKind::gpu;
    slice.name = device.name();
    return slice;
  }
  slice.kind = mps ? SliceKind::mps : SliceKind::time;
  slice.name = fmt::format("{}:{}#{}", name_of(slice.kind), device.place, share);
  return slice;
}

void bind_near(const Machine& machine, const Device& device, Slice& slice) {
  slice.cpus = cores_near(machine, device.numa_node);
  slice.numa_node = node_of(machine, slice.cpus);
}

}  // namespace sheaf::slices
