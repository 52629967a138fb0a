#include <fmt/format.h>

#include <algorithm>

#include "slices/nvml_simulation/mig_rules.h"
#include "slices/nvml_simulation/session.h"

// Mode, GPU instances, compute instances.
namespace sheaf::slices::simulation {
namespace {

const MigProfile* profile_at(const CardModel& model, unsigned index) {
  const auto found = std::ranges::find(model.profiles, index, &MigProfile::index);
  return found == model.profiles.end() ? nullptr : &*found;
}

// Asking for a profile by its index.
template <class Work>
abi::Return on_profile(const char* function, abi::Device device, unsigned index, Work work) {
  return call_on(function, device, [&](Target& target) {
    if (target.is_mig()) return abi::kInvalidArgument;
    if (index >= abi::kGpuProfileIndexes) return abi::kInvalidArgument;
    if (target.card.mig_current == 0 && !target.state.lists_profiles_when_off)
      return abi::kNotSupported;
    const MigProfile* profile = profile_at(target.model, index);
    return profile == nullptr ? abi::kNotSupported : work(target, *profile);
  });
}

// A privileged call that takes a profile's id on a card whose mode is on.
template <class Work>
abi::Return on_profile_id(const char* function, abi::Device device, unsigned id, Work work) {
  return call_on(
      function, device,
      [&](Target& target) {
        if (target.is_mig()) return abi::kInvalidArgument;
        if (target.card.mig_current == 0) return abi::kNotSupported;
        const MigProfile* profile = find_profile_by_id(target.model, id);
        return profile == nullptr ? abi::kInvalidArgument : work(target, *profile);
      },
      Right::privileged);
}

template <class Info>
void fill(Info& info, const MigProfile& profile) {
  info.id = profile.id;
  info.slice_count = static_cast<unsigned>(profile.compute_slices);
  info.instance_count = static_cast<unsigned>(profile.count_max);
  info.multiprocessor_count = static_cast<unsigned>(profile.multiprocessors);
  info.copy_engine_count = static_cast<unsigned>(profile.engines.copy);
  info.decoder_count = static_cast<unsigned>(profile.engines.decoder);
  info.encoder_count = static_cast<unsigned>(profile.engines.encoder);
  info.jpeg_count = static_cast<unsigned>(profile.engines.jpeg);
  info.ofa_count = static_cast<unsigned>(profile.engines.ofa);
  info.memory_mib = profile.memory_mib;
}

std::optional<ComputeProfile> compute_profile_at(Target& target, unsigned index) {
  for (ComputeProfile& one : compute_profiles(target.profile()))
    if (one.index == index) return std::move(one);
  return std::nullopt;
}

template <class Work>
abi::Return on_gpu_instance(const char* function, abi::GpuInstance instance, Right right,
                            Work work) {
  return call_on(
      function, instance,
      [&](Target& target) {
        return target.kind == HandleKind::gpu_instance ? work(target) : abi::kInvalidArgument;
      },
      right);
}

// NULL asks for the count.
template <class Starts>
void put_placements(const Starts& starts, int size, abi::Placement* placements, unsigned* count) {
  if (placements != nullptr)
    for (std::size_t i = 0; i < std::min<std::size_t>(starts.size(), *count); ++i)
      placements[i] = {static_cast<unsigned>(starts[i]), static_cast<unsigned>(size)};
  *count = static_cast<unsigned>(starts.size());
}

abi::Return create_gi(const char* function, abi::Device device, unsigned profile_id,
                      const std::optional<abi::Placement>& placement, abi::GpuInstance* instance) {
  return on_profile_id(function, device, profile_id, [&](Target& target, const MigProfile&) {
    std::uint32_t id = 0;
    const abi::Return code = create_gpu_instance(target.card, profile_id, placement, id);
    if (code == abi::kSuccess)
      *instance = make_handle<abi::GpuInstance>(HandleKind::gpu_instance, target.card_index, id);
    return code;
  });
}

abi::Return create_ci(const char* function, abi::GpuInstance instance, unsigned profile_id,
                      const std::optional<abi::Placement>& placement,
                      abi::ComputeInstance* compute) {
  return on_gpu_instance(function, instance, Right::privileged, [&](Target& target) {
    std::uint32_t id = 0;
    const abi::Return code =
        create_compute_instance(target.card, target.gi(), profile_id, placement, id);
    if (code == abi::kSuccess)
      *compute = make_handle<abi::ComputeInstance>(HandleKind::compute_instance, target.card_index,
                                                   target.gpu_instance, id);
    return code;
  });
}

}  // namespace

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMigMode(abi::Device device, unsigned* current,
                                                  unsigned* pending) {
  return call_on("nvmlDeviceGetMigMode", device, [&](Target& target) {
    if (!target.model.has_mig()) return abi::kNotSupported;
    *current = target.card.mig_current;
    *pending = target.card.mig_pending;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceSetMigMode(abi::Device device, unsigned mode,
                                                  abi::Return* activation) {
  return call_on(
      "nvmlDeviceSetMigMode", device,
      [&](Target& target) { return set_mig_mode(target.card, mode, *activation); },
      Right::privileged);
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstanceProfileInfo(
    abi::Device device, unsigned index, abi::GpuInstanceProfileInfo* info) {
  return on_profile("nvmlDeviceGetGpuInstanceProfileInfo", device, index,
                    [&](Target&, const MigProfile& profile) {
                      *info = {};
                      fill(*info, profile);
                      return abi::kSuccess;
                    });
}

// The third version has its first flag elsewhere, which sheaf does not use; the size is the same.
SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstanceProfileInfoV(
    abi::Device device, unsigned index, abi::GpuInstanceProfileInfo_v2* info) {
  return on_profile("nvmlDeviceGetGpuInstanceProfileInfoV", device, index,
                    [&](Target& target, const MigProfile& profile) {
                      const unsigned version = info->version;
                      if (version != abi::version_of<abi::GpuInstanceProfileInfo_v2>(2) ||
                          target.state.struct_version < 2)
                        return abi::kArgumentVersionMismatch;
                      *info = {};
                      info->version = version;
                      fill(*info, profile);
                      return put_text(info->name, sizeof info->name,
                                      "MIG " + std::string(profile.name));
                    });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstancePossiblePlacements_v2(
    abi::Device device, unsigned profile_id, abi::Placement* placements, unsigned* count) {
  return on_profile_id("nvmlDeviceGetGpuInstancePossiblePlacements_v2", device, profile_id,
                       [&](Target&, const MigProfile& profile) {
                         put_placements(profile.starts, profile.memory_slices, placements, count);
                         return abi::kSuccess;
                       });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstanceRemainingCapacity(abi::Device device,
                                                                       unsigned profile_id,
                                                                       unsigned* count) {
  return on_profile_id(
      "nvmlDeviceGetGpuInstanceRemainingCapacity", device, profile_id,
      [&](Target& target, const MigProfile& profile) {
        *count = static_cast<unsigned>(geometry_of(target.card).remaining_capacity(profile));
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceCreateGpuInstance(abi::Device device, unsigned profile_id,
                                                         abi::GpuInstance* instance) {
  return create_gi("nvmlDeviceCreateGpuInstance", device, profile_id, std::nullopt, instance);
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceCreateGpuInstanceWithPlacement(
    abi::Device device, unsigned profile_id, const abi::Placement* placement,
    abi::GpuInstance* instance) {
  return create_gi("nvmlDeviceCreateGpuInstanceWithPlacement", device, profile_id, *placement,
                   instance);
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceDestroy(abi::GpuInstance instance) {
  return on_gpu_instance("nvmlGpuInstanceDestroy", instance, Right::privileged, [](Target& target) {
    return destroy_gpu_instance(target.card, target.gpu_instance);
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstances(abi::Device device, unsigned profile_id,
                                                       abi::GpuInstance* instances,
                                                       unsigned* count) {
  return on_profile_id(
      "nvmlDeviceGetGpuInstances", device, profile_id, [&](Target& target, const MigProfile&) {
        *count = 0;
        for (std::uint32_t id = 0; id < kInstancesMax; ++id) {
          const SimGpuInstance& instance = target.card.instances[id];
          if (instance.used && instance.profile_id == profile_id)
            instances[(*count)++] =
                make_handle<abi::GpuInstance>(HandleKind::gpu_instance, target.card_index, id);
        }
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstanceById(abi::Device device, unsigned id,
                                                          abi::GpuInstance* instance) {
  return call_on(
      "nvmlDeviceGetGpuInstanceById", device,
      [&](Target& target) {
        if (target.card.mig_current == 0) return abi::kNotSupported;
        if (id >= kInstancesMax || !target.card.instances[id].used) return abi::kNotFound;
        *instance = make_handle<abi::GpuInstance>(HandleKind::gpu_instance, target.card_index, id);
        return abi::kSuccess;
      },
      Right::privileged);
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetInfo(abi::GpuInstance instance,
                                                    abi::GpuInstanceInfo* info) {
  return on_gpu_instance("nvmlGpuInstanceGetInfo", instance, Right::anyone, [&](Target& target) {
    *info = {make_handle<abi::Device>(HandleKind::card, target.card_index),
             target.gpu_instance,
             target.gi().profile_id,
             {target.gi().start, target.gi().size}};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetComputeInstanceProfileInfo(
    abi::GpuInstance instance, unsigned index, unsigned engines,
    abi::ComputeInstanceProfileInfo* info) {
  return on_gpu_instance("nvmlGpuInstanceGetComputeInstanceProfileInfo", instance, Right::anyone,
                         [&](Target& target) {
                           if (index >= abi::kComputeProfileIndexes || engines != 0)
                             return abi::kInvalidArgument;
                           const auto profile = compute_profile_at(target, index);
                           if (!profile) return abi::kNotSupported;
                           const Engines& shared = target.profile().engines;
                           *info = {profile->id,
                                    static_cast<unsigned>(profile->compute_slices),
                                    static_cast<unsigned>(profile->count_max),
                                    static_cast<unsigned>(profile->multiprocessors),
                                    static_cast<unsigned>(shared.copy),
                                    static_cast<unsigned>(shared.decoder),
                                    static_cast<unsigned>(shared.encoder),
                                    static_cast<unsigned>(shared.jpeg),
                                    static_cast<unsigned>(shared.ofa)};
                           return abi::kSuccess;
                         });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetComputeInstancePossiblePlacements(
    abi::GpuInstance instance, unsigned profile_id, abi::Placement* placements, unsigned* count) {
  return on_gpu_instance(
      "nvmlGpuInstanceGetComputeInstancePossiblePlacements", instance, Right::privileged,
      [&](Target& target) {
        const auto profile = compute_profile(target.card, target.gi(), profile_id);
        if (!profile) return abi::kInvalidArgument;
        put_placements(profile->starts, profile->compute_slices, placements, count);
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetComputeInstanceRemainingCapacity(
    abi::GpuInstance instance, unsigned profile_id, unsigned* count) {
  return on_gpu_instance(
      "nvmlGpuInstanceGetComputeInstanceRemainingCapacity", instance, Right::privileged,
      [&](Target& target) {
        const auto profile = compute_profile(target.card, target.gi(), profile_id);
        if (!profile) return abi::kInvalidArgument;
        *count = static_cast<unsigned>(free_compute_starts(target.gi(), *profile).size());
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceCreateComputeInstance(abi::GpuInstance instance,
                                                                  unsigned profile_id,
                                                                  abi::ComputeInstance* compute) {
  return create_ci("nvmlGpuInstanceCreateComputeInstance", instance, profile_id, std::nullopt,
                   compute);
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceCreateComputeInstanceWithPlacement(
    abi::GpuInstance instance, unsigned profile_id, const abi::Placement* placement,
    abi::ComputeInstance* compute) {
  return create_ci("nvmlGpuInstanceCreateComputeInstanceWithPlacement", instance, profile_id,
                   *placement, compute);
}

SHEAF_SIM_EXPORT abi::Return nvmlComputeInstanceDestroy(abi::ComputeInstance compute) {
  return call_on(
      "nvmlComputeInstanceDestroy", compute,
      [](Target& target) {
        if (target.kind != HandleKind::compute_instance) return abi::kInvalidArgument;
        return destroy_compute_instance(target.card, target.gpu_instance, target.compute_instance);
      },
      Right::privileged);
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetComputeInstances(abi::GpuInstance instance,
                                                                unsigned profile_id,
                                                                abi::ComputeInstance* instances,
                                                                unsigned* count) {
  return on_gpu_instance(
      "nvmlGpuInstanceGetComputeInstances", instance, Right::privileged, [&](Target& target) {
        *count = 0;
        for (std::uint32_t id = 0; id < kComputeMax; ++id) {
          const SimComputeInstance& compute = target.gi().compute[id];
          if (compute.used && compute.profile_id == profile_id)
            instances[(*count)++] = make_handle<abi::ComputeInstance>(
                HandleKind::compute_instance, target.card_index, target.gpu_instance, id);
        }
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpuInstanceGetComputeInstanceById(abi::GpuInstance instance,
                                                                   unsigned id,
                                                                   abi::ComputeInstance* compute) {
  return on_gpu_instance(
      "nvmlGpuInstanceGetComputeInstanceById", instance, Right::privileged, [&](Target& target) {
        if (id >= kComputeMax || !target.gi().compute[id].used) return abi::kNotFound;
        *compute = make_handle<abi::ComputeInstance>(HandleKind::compute_instance,
                                                     target.card_index, target.gpu_instance, id);
        return abi::kSuccess;
      });
}

SHEAF_SIM_EXPORT abi::Return nvmlComputeInstanceGetInfo_v2(abi::ComputeInstance compute,
                                                           abi::ComputeInstanceInfo* info) {
  return call_on("nvmlComputeInstanceGetInfo_v2", compute, [&](Target& target) {
    if (target.kind != HandleKind::compute_instance) return abi::kInvalidArgument;
    const std::uint32_t card = target.card_index, gi = target.gpu_instance;
    *info = {make_handle<abi::Device>(HandleKind::mig, card, gi, target.compute_instance),
             make_handle<abi::GpuInstance>(HandleKind::gpu_instance, card, gi),
             target.compute_instance,
             target.ci().profile_id,
             {target.ci().start, target.ci().size}};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceIsMigDeviceHandle(abi::Device device, unsigned* is_mig) {
  return call_on("nvmlDeviceIsMigDeviceHandle", device, [&](Target& target) {
    *is_mig = target.is_mig();
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGpuInstanceId(abi::Device device, unsigned* id) {
  return call_on("nvmlDeviceGetGpuInstanceId", device, [&](Target& target) {
    if (!target.is_mig()) return abi::kNotSupported;
    *id = target.gpu_instance;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetComputeInstanceId(abi::Device device, unsigned* id) {
  return call_on("nvmlDeviceGetComputeInstanceId", device, [&](Target& target) {
    if (!target.is_mig()) return abi::kNotSupported;
    *id = target.compute_instance;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMaxMigDeviceCount(abi::Device device, unsigned* count) {
  return call_on("nvmlDeviceGetMaxMigDeviceCount", device, [&](Target& target) {
    *count = target.card.mig_current == 0 ? 0u : static_cast<unsigned>(target.model.compute_slices);
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMigDeviceHandleByIndex(abi::Device device, unsigned index,
                                                                 abi::Device* mig) {
  return call_on("nvmlDeviceGetMigDeviceHandleByIndex", device, [&](Target& target) {
    if (target.is_mig() || target.card.mig_current == 0) return abi::kNotSupported;
    unsigned at = 0;
    for (std::uint32_t gi = 0; gi < kInstancesMax; ++gi)
      for (std::uint32_t ci = 0; ci < kComputeMax; ++ci) {
        if (!target.card.instances[gi].compute[ci].used || at++ != index) continue;
        *mig = make_handle<abi::Device>(HandleKind::mig, target.card_index, gi, ci);
        return abi::kSuccess;
      }
    return abi::kNotFound;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetDeviceHandleFromMigDeviceHandle(abi::Device mig,
                                                                          abi::Device* device) {
  return call_on("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", mig, [&](Target& target) {
    if (!target.is_mig()) return abi::kNotSupported;
    *device = make_handle<abi::Device>(HandleKind::card, target.card_index);
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetAttributes_v2(abi::Device mig,
                                                        abi::DeviceAttributes* attributes) {
  return call_on("nvmlDeviceGetAttributes_v2", mig, [&](Target& target) {
    if (!target.is_mig()) return abi::kNotSupported;
    const auto compute = compute_profile(target.card, target.gi(), target.ci().profile_id);
    const Engines& shared = target.profile().engines;
    *attributes = {static_cast<unsigned>(compute ? compute->multiprocessors : 0),
                   static_cast<unsigned>(shared.copy),
                   static_cast<unsigned>(shared.decoder),
                   static_cast<unsigned>(shared.encoder),
                   static_cast<unsigned>(shared.jpeg),
                   static_cast<unsigned>(shared.ofa),
                   static_cast<unsigned>(target.profile().compute_slices),
                   target.ci().size,
                   target.profile().memory_mib};
    return abi::kSuccess;
  });
}

}  // namespace sheaf::slices::simulation
