#include "slices/card_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::slices {
namespace {

using Kind = MigStep::Kind;

const InstanceState* same_in(const CardState& state, const InstanceState& instance) {
  if (!state.mig) return nullptr;
  const auto found = std::ranges::find_if(
      state.instances, [&](const InstanceState& other) { return other.same_place(instance); });
  return found == state.instances.end() ? nullptr : &*found;
}

bool has(const InstanceState* instance, const ComputeState& compute) {
  return instance != nullptr &&
         std::ranges::find(instance->compute, compute) != instance->compute.end();
}

void add_removals(const CardState& from, const CardState& to, std::vector<MigStep>& steps) {
  for (const InstanceState& instance : from.instances) {
    const InstanceState* kept = same_in(to, instance);
    for (const ComputeState& compute : instance.compute)
      if (!has(kept, compute))
        steps.push_back({.kind = Kind::destroy_compute, .instance = instance, .compute = compute});
    if (kept == nullptr) steps.push_back({.kind = Kind::destroy_instance, .instance = instance});
  }
}

void add_arrivals(const CardState& from, const CardState& to, std::vector<MigStep>& steps) {
  for (const InstanceState& instance : to.instances) {
    const InstanceState* there = same_in(from, instance);
    if (there == nullptr) steps.push_back({.kind = Kind::create_instance, .instance = instance});
    for (const ComputeState& compute : instance.compute)
      if (!has(there, compute))
        steps.push_back({.kind = Kind::create_compute, .instance = instance, .compute = compute});
  }
}

}  // namespace

Result<CardState> state_of(const Gpu& gpu) {
  if (!gpu.mig)
    return Error{ErrorCode::unsupported,
                 fmt::format("GPU {} ({}) cannot be cut by MIG", gpu.index, gpu.name)};
  if (!gpu.instances_known || gpu.uuid.empty())
    return Error{ErrorCode::io, fmt::format("GPU {}: {}", gpu.index,
                                            gpu.notes.empty() ? "unreadable" : gpu.notes.back())};
  CardState state{gpu.index, gpu.uuid, gpu.mig->current, gpu.mig->pending, {}};
  for (const GpuInstance& instance : gpu.instances) {
    InstanceState one{instance.profile_id, instance.name, instance.start, instance.size, {}};
    for (const ComputeInstance& compute : instance.compute)
      one.compute.push_back({compute.profile_id, compute.start, compute.size});
    std::ranges::sort(one.compute, {}, &ComputeState::start);
    state.instances.push_back(std::move(one));
  }
  return state;
}

Result<MigGeometry> geometry_of(const CardModel& model, const CardState& state) {
  MigGeometry geometry(model);
  for (const InstanceState& instance : state.instances) {
    const MigProfile* profile = find_profile_by_id(model, instance.profile_id);
    if (profile == nullptr)
      return Error{ErrorCode::unsupported,
                   fmt::format("GPU {} holds an instance of profile {}, which is none of {}",
                               state.gpu, instance.profile_id, profile_names(model))};
    SHEAF_TRY(geometry.place(*profile, static_cast<int>(instance.start)));
  }
  return geometry;
}

std::string MigStep::text() const {
  const auto place = [this](std::string_view verb) {
    return fmt::format("{} {} at memory slice {}", verb, instance.name, instance.start);
  };
  const auto part = [this](std::string_view verb) {
    return fmt::format("{} the compute instance of {} slices at {} in {}@{}", verb, compute.size,
                       compute.start, instance.name, instance.start);
  };
  switch (kind) {
    case Kind::destroy_compute:
      return part("destroy");
    case Kind::destroy_instance:
      return place("destroy");
    case Kind::set_mode:
      return mig ? "enable MIG" : "disable MIG";
    case Kind::create_instance:
      return place("create");
    case Kind::create_compute:
      return part("create");
  }
  return "";
}

std::vector<MigStep> steps_between(const CardState& from, const CardState& to) {
  std::vector<MigStep> steps;
  add_removals(from, to, steps);
  if (from.mig != to.mig || from.mig_pending != to.mig_pending)
    steps.push_back({.kind = Kind::set_mode, .mig = to.mig_pending});
  add_arrivals(from, to, steps);
  return steps;
}

std::string how_to_reset(unsigned gpu) {
  return fmt::format(
      "stop what holds the card, then `nvidia-smi --gpu-reset -i {}`, or reboot the machine", gpu);
}

}  // namespace sheaf::slices
