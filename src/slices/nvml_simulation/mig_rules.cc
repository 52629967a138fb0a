#include "slices/nvml_simulation/mig_rules.h"

#include <algorithm>

namespace sheaf::slices::simulation {
namespace {

// The open driver's table of spans: an instance's id says where it stands. On a card of eight
// slices 0 is the whole, 1-2 halves, 3-6 quarters, 7-14 single slices; on A30 0 is the whole, 1-2
// halves, 3-6 single slices.
std::uint32_t id_of_span(std::uint32_t slices_of_card, std::uint32_t start, std::uint32_t size) {
  return slices_of_card / size - 1 + start / size;
}

bool runs_something(const SimCard& card, std::uint32_t gpu_instance,
                    std::optional<std::uint32_t> compute_instance) {
  return std::ranges::any_of(card.processes, [&](const SimProcess& process) {
    return process.used && process.gpu_instance == gpu_instance &&
           (!compute_instance || process.compute_instance == *compute_instance);
  });
}

std::optional<std::uint32_t> chosen_start(const MigGeometry& geometry, const MigProfile& profile,
                                          const std::optional<abi::Placement>& placement) {
  if (placement) return placement->start;
  const auto start = geometry.first_fit(profile);
  if (!start) return std::nullopt;
  return static_cast<std::uint32_t>(*start);
}

}  // namespace

MigGeometry geometry_of(const SimCard& card) {
  const CardModel& model = model_of(card);
  MigGeometry geometry(model);
  for (const SimGpuInstance& instance : card.instances) {
    if (!instance.used) continue;
    // What stands there was let in by the same rules.
    (void)geometry.place(*find_profile_by_id(model, instance.profile_id),
                         static_cast<int>(instance.start));
  }
  return geometry;
}

abi::Return set_mig_mode(SimCard& card, std::uint32_t mode, abi::Return& activation) {
  if (!model_of(card).has_mig()) return abi::kNotSupported;
  if (mode > 1) return abi::kInvalidArgument;
  card.mig_pending = mode;
  activation = abi::kSuccess;
  if (card.mig_current == mode) return abi::kSuccess;
  const bool busy = std::ranges::any_of(card.processes, &SimProcess::used) ||
                    std::ranges::any_of(card.instances, &SimGpuInstance::used);
  if (busy)
    activation = abi::kInUse;
  else if (card.reset_blocked)
    activation = abi::kResetRequired;
  else
    card.mig_current = mode;
  return abi::kSuccess;
}

abi::Return create_gpu_instance(SimCard& card, std::uint32_t profile_id,
                                const std::optional<abi::Placement>& placement, std::uint32_t& id) {
  if (card.mig_current == 0) return abi::kNotSupported;
  const CardModel& model = model_of(card);
  const MigProfile* profile = find_profile_by_id(model, profile_id);
  if (profile == nullptr) return abi::kInvalidArgument;
  const auto size = static_cast<std::uint32_t>(profile->memory_slices);
  if (placement && (placement->size != size ||
                    std::ranges::find(profile->starts, static_cast<int>(placement->start)) ==
                        profile->starts.end()))
    return abi::kInvalidArgument;
  const MigGeometry geometry = geometry_of(card);
  const auto start = chosen_start(geometry, *profile, placement);
  if (!start || !geometry.can_place(*profile, static_cast<int>(*start)))
    return abi::kInsufficientResources;
  id = id_of_span(static_cast<std::uint32_t>(model.memory_slices), *start, size);
  card.instances[id] = {.used = true, .profile_id = profile_id, .start = *start, .size = size};
  return abi::kSuccess;
}

abi::Return destroy_gpu_instance(SimCard& card, std::uint32_t id) {
  SimGpuInstance& instance = card.instances[id];
  if (!instance.used) return abi::kNotFound;
  if (std::ranges::any_of(instance.compute, &SimComputeInstance::used) ||
      runs_something(card, id, std::nullopt))
    return abi::kInUse;
  instance = {};
  return abi::kSuccess;
}

std::optional<ComputeProfile> compute_profile(const SimCard& card, const SimGpuInstance& instance,
                                              std::uint32_t profile_id) {
  const MigProfile& profile = *find_profile_by_id(model_of(card), instance.profile_id);
  for (ComputeProfile& one : compute_profiles(profile))
    if (one.id == profile_id) return std::move(one);
  return std::nullopt;
}

std::vector<std::uint32_t> free_compute_starts(const SimGpuInstance& instance,
                                               const ComputeProfile& profile) {
  std::vector<std::uint32_t> starts;
  const auto size = static_cast<std::uint32_t>(profile.compute_slices);
  for (const int legal : profile.starts) {
    const auto start = static_cast<std::uint32_t>(legal);
    const bool taken =
        std::ranges::any_of(instance.compute, [start, size](const SimComputeInstance& other) {
          return other.used && start < other.start + other.size && other.start < start + size;
        });
    if (!taken) starts.push_back(start);
  }
  return starts;
}

abi::Return create_compute_instance(const SimCard& card, SimGpuInstance& instance,
                                    std::uint32_t profile_id,
                                    const std::optional<abi::Placement>& placement,
                                    std::uint32_t& id) {
  const auto profile = compute_profile(card, instance, profile_id);
  if (!profile) return abi::kInvalidArgument;
  const auto size = static_cast<std::uint32_t>(profile->compute_slices);
  if (placement && (placement->size != size ||
                    std::ranges::find(profile->starts, static_cast<int>(placement->start)) ==
                        profile->starts.end()))
    return abi::kInvalidArgument;
  const auto starts = free_compute_starts(instance, *profile);
  const auto start = placement ? std::ranges::find(starts, placement->start) : starts.begin();
  if (start == starts.end()) return abi::kInsufficientResources;
  for (id = 0; id < kComputeMax; ++id) {
    if (instance.compute[id].used) continue;
    instance.compute[id] = {.used = true, .profile_id = profile_id, .start = *start, .size = size};
    return abi::kSuccess;
  }
  return abi::kInsufficientResources;
}

abi::Return destroy_compute_instance(SimCard& card, std::uint32_t gpu_instance,
                                     std::uint32_t compute_instance) {
  SimComputeInstance& compute = card.instances[gpu_instance].compute[compute_instance];
  if (!compute.used) return abi::kNotFound;
  if (runs_something(card, gpu_instance, compute_instance)) return abi::kInUse;
  compute = {};
  return abi::kSuccess;
}

}  // namespace sheaf::slices::simulation
