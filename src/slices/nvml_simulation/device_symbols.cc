#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "slices/nvml_simulation/mig_rules.h"
#include "slices/nvml_simulation/session.h"

// What NVML tells of a card or of a MIG device.
namespace sheaf::slices::simulation {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kReservedBytes = 512 * kMiB;  // that the driver keeps of a card

bool belongs(const Target& target, const SimProcess& process) {
  return process.used &&
         (!target.is_mig() || (process.gpu_instance == target.gpu_instance &&
                               process.compute_instance == target.compute_instance));
}

// Memory belongs to the GPU instance: what its other compute instances take is gone too.
std::uint64_t used_bytes(const Target& target) {
  std::uint64_t bytes = 0;
  for (const SimProcess& process : target.card.processes)
    if (process.used && (!target.is_mig() || process.gpu_instance == target.gpu_instance))
      bytes += process.bytes;
  return bytes;
}

abi::Memory_v2 memory_of(Target& target) {
  const std::uint64_t total =
      target.is_mig() ? target.profile().memory_bytes() : target.model.memory_bytes();
  const std::uint64_t reserved = target.is_mig() ? 0 : kReservedBytes;
  const std::uint64_t used = std::min(used_bytes(target), total - reserved);
  return {0, total, reserved, total - reserved - used, used};
}

abi::Return list_processes(const char* function, abi::Device device, SimProcessKind kind,
                           unsigned* count, abi::ProcessInfo* list) {
  return call_on(function, device, [&](Target& target) {
    const bool whole_cut_card = !target.is_mig() && target.card.mig_current != 0;
    if (whole_cut_card && target.state.unprivileged) return abi::kNoPermission;
    const unsigned room = list == nullptr ? 0 : *count;
    unsigned found = 0;
    for (const SimProcess& process : target.card.processes) {
      if (!belongs(target, process) || process.kind != kind) continue;
      if (found < room)
        list[found] = {process.pid, process.bytes, process.gpu_instance, process.compute_instance};
      ++found;
    }
    *count = found;
    return found > room ? abi::kInsufficientSize : abi::kSuccess;
  });
}

// A number that a card has and a MIG device has not.
template <class Number, class Read>
abi::Return number_of_card(const char* function, abi::Device device, Number* out, Read read) {
  return call_on(function, device, [&](Target& target) {
    if (out == nullptr) return abi::kInvalidArgument;
    if (target.is_mig()) return abi::kNotSupported;
    *out = read(target.card);
    return abi::kSuccess;
  });
}

std::uint32_t mig_index_of(const Target& target) {
  std::uint32_t index = 0;
  for (std::uint32_t gi = 0; gi < kInstancesMax; ++gi)
    for (std::uint32_t ci = 0; ci < kComputeMax; ++ci) {
      if (gi == target.gpu_instance && ci == target.compute_instance) return index;
      if (target.card.instances[gi].compute[ci].used) ++index;
    }
  return index;
}

std::string name_of_target(Target& target) {
  if (!target.is_mig()) return std::string(target.model.product);
  const auto profile = compute_profile(target.card, target.gi(), target.ci().profile_id);
  return fmt::format("{} MIG {}", target.model.product, profile ? profile->name : "");
}

}  // namespace

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetCount_v2(unsigned* count) {
  return Session::call("nvmlDeviceGetCount_v2", Right::anyone, [&](SimState& state) {
    *count = state.card_count;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetHandleByIndex_v2(unsigned index, abi::Device* device) {
  const auto find = [&](SimState& state) {
    if (index >= state.card_count) return abi::kInvalidArgument;
    if (state.cards[index].lost) return abi::kGpuIsLost;
    *device = make_handle<abi::Device>(HandleKind::card, index);
    return abi::kSuccess;
  };
  return Session::call("nvmlDeviceGetHandleByIndex_v2", Right::anyone, find, index);
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetHandleByUUID(const char* uuid, abi::Device* device) {
  return Session::call("nvmlDeviceGetHandleByUUID", Right::anyone, [&](SimState& state) {
    for (std::uint32_t card = 0; card < state.card_count; ++card) {
      if (std::strcmp(uuid, state.cards[card].uuid) == 0) {
        *device = make_handle<abi::Device>(HandleKind::card, card);
        return abi::kSuccess;
      }
      for (std::uint32_t gi = 0; gi < kInstancesMax; ++gi)
        for (std::uint32_t ci = 0; ci < kComputeMax; ++ci) {
          if (!state.cards[card].instances[gi].compute[ci].used) continue;
          if (mig_uuid(state.cards[card], gi, ci) != uuid) continue;
          *device = make_handle<abi::Device>(HandleKind::mig, card, gi, ci);
          return abi::kSuccess;
        }
    }
    return abi::kNotFound;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetName(abi::Device device, char* text, unsigned bytes) {
  return call_on("nvmlDeviceGetName", device,
                 [&](Target& target) { return put_text(text, bytes, name_of_target(target)); });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetUUID(abi::Device device, char* text, unsigned bytes) {
  return call_on("nvmlDeviceGetUUID", device, [&](Target& target) {
    return put_text(text, bytes,
                    target.is_mig()
                        ? mig_uuid(target.card, target.gpu_instance, target.compute_instance)
                        : std::string(target.card.uuid));
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetIndex(abi::Device device, unsigned* index) {
  return call_on("nvmlDeviceGetIndex", device, [&](Target& target) {
    *index = target.is_mig() ? mig_index_of(target) : target.card_index;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMinorNumber(abi::Device device, unsigned* number) {
  return call_on("nvmlDeviceGetMinorNumber", device, [&](Target& target) {
    *number = target.card_index;
    return target.model.pci_ids.empty() ? abi::kNotSupported : abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetPciInfo_v3(abi::Device device, abi::PciInfo* info) {
  return call_on("nvmlDeviceGetPciInfo_v3", device, [&](Target& target) {
    if (target.model.pci_ids.empty()) return abi::kNotSupported;
    *info = {};
    info->bus = 0x10 + 8 * target.card_index;
    info->pci_device_id = target.model.pci_ids.front();
    put_text(info->bus_id, sizeof info->bus_id, fmt::format("00000000:{:02X}:00.0", info->bus));
    put_text(info->bus_id_legacy, sizeof info->bus_id_legacy,
             fmt::format("0000:{:02X}:00.0", info->bus));
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMemoryInfo(abi::Device device, abi::Memory* memory) {
  return call_on("nvmlDeviceGetMemoryInfo", device, [&](Target& target) {
    const abi::Memory_v2 all = memory_of(target);
    *memory = {all.total, all.free, all.used + all.reserved};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMemoryInfo_v2(abi::Device device,
                                                        abi::Memory_v2* memory) {
  return call_on("nvmlDeviceGetMemoryInfo_v2", device, [&](Target& target) {
    if (memory->version != abi::version_of<abi::Memory_v2>(2) || target.state.struct_version < 2)
      return abi::kArgumentVersionMismatch;
    const unsigned version = memory->version;
    *memory = memory_of(target);
    memory->version = version;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetCudaComputeCapability(abi::Device device, int* major,
                                                                int* minor) {
  return call_on("nvmlDeviceGetCudaComputeCapability", device, [&](Target& target) {
    *major = target.model.compute_capability_major;
    *minor = target.model.compute_capability_minor;
    return abi::kSuccess;
  });
}

#define SHEAF_SIM_NUMBER(function, type, expression)                               \
  SHEAF_SIM_EXPORT abi::Return function(abi::Device device, type* out) {           \
    return number_of_card(#function, device, out,                                  \
                          [](const SimCard& card) -> type { return expression; }); \
  }
SHEAF_SIM_NUMBER(nvmlDeviceGetComputeMode, unsigned, card.compute_mode)
SHEAF_SIM_NUMBER(nvmlDeviceGetPersistenceMode, unsigned, card.persistence)
SHEAF_SIM_NUMBER(nvmlDeviceGetPowerUsage, unsigned, card.power_mw)
SHEAF_SIM_NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, card.power_limit_mw)
SHEAF_SIM_NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, card.power_limit_mw)
SHEAF_SIM_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, card.pcie_generation)
SHEAF_SIM_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, card.pcie_generation_max)
SHEAF_SIM_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, card.pcie_width)
SHEAF_SIM_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, card.pcie_width_max)
SHEAF_SIM_NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, unsigned, card.retired_pending)
SHEAF_SIM_NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long,
                 card.throttle_reasons)
#undef SHEAF_SIM_NUMBER

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetTemperature(abi::Device device, unsigned sensor,
                                                      unsigned* degrees) {
  if (sensor != 0) return abi::kInvalidArgument;
  return number_of_card("nvmlDeviceGetTemperature", device, degrees,
                        [](const SimCard& card) { return card.temperature_c; });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetEccMode(abi::Device device, unsigned* current,
                                                  unsigned* pending) {
  return call_on("nvmlDeviceGetEccMode", device, [&](Target& target) {
    if (!target.model.has_mig()) return abi::kNotSupported;
    *current = *pending = target.card.ecc_enabled;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetTotalEccErrors(abi::Device device, unsigned kind,
                                                         unsigned, unsigned long long* count) {
  return call_on("nvmlDeviceGetTotalEccErrors", device, [&](Target& target) {
    if (!target.model.has_mig()) return abi::kNotSupported;
    *count = kind == 1 ? target.card.ecc_uncorrected : 0;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetRemappedRows(abi::Device device, unsigned* corrected,
                                                       unsigned* uncorrected, unsigned* pending,
                                                       unsigned* failed) {
  return call_on("nvmlDeviceGetRemappedRows", device, [&](Target& target) {
    if (!target.model.has_mig()) return abi::kNotSupported;
    *corrected = 0;
    *uncorrected = target.card.remap_pending;
    *pending = target.card.remap_pending;
    *failed = target.card.remap_failed;
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetUtilizationRates(abi::Device device,
                                                           abi::Utilization* utilization) {
  return call_on("nvmlDeviceGetUtilizationRates", device, [&](Target& target) {
    if (target.card.mig_current != 0) return abi::kNotSupported;
    *utilization = {target.card.load.gpu, target.card.load.memory};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetClockInfo(abi::Device device, unsigned kind,
                                                    unsigned* megahertz) {
  if (kind > 3) return abi::kInvalidArgument;
  return number_of_card("nvmlDeviceGetClockInfo", device, megahertz, [kind](const SimCard& card) {
    return kind == abi::kClockMemory ? card.memory_clock_mhz : card.sm_clock_mhz;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetFanSpeed(abi::Device device, unsigned*) {
  return call_on("nvmlDeviceGetFanSpeed", device, [](Target&) { return abi::kNotSupported; });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetNvLinkState(abi::Device device, unsigned link,
                                                      unsigned* active) {
  return call_on("nvmlDeviceGetNvLinkState", device, [&](Target& target) {
    if (target.card.nvlinks == 0) return abi::kNotSupported;
    if (link >= target.card.nvlinks) return abi::kInvalidArgument;
    *active = target.card.mig_current == 0;  // partitioned memory shuts them down
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetFieldValues(abi::Device device, int count,
                                                      abi::FieldValue* fields) {
  constexpr unsigned kUnsignedInt = 1;
  return call_on("nvmlDeviceGetFieldValues", device, [&](Target& target) {
    for (int i = 0; i < count; ++i) {
      const bool known = fields[i].field == abi::kFieldRecoveryAction && target.model.has_mig();
      fields[i].result = known ? abi::kSuccess : abi::kNotSupported;
      fields[i].value_type = kUnsignedInt;
      fields[i].value.unsigned_int = known ? target.card.recovery_action : 0;
    }
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetComputeRunningProcesses_v3(abi::Device device,
                                                                     unsigned* count,
                                                                     abi::ProcessInfo* list) {
  return list_processes("nvmlDeviceGetComputeRunningProcesses_v3", device, SimProcessKind::compute,
                        count, list);
}
SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetGraphicsRunningProcesses_v3(abi::Device device,
                                                                      unsigned* count,
                                                                      abi::ProcessInfo* list) {
  return list_processes("nvmlDeviceGetGraphicsRunningProcesses_v3", device,
                        SimProcessKind::graphics, count, list);
}
SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetMPSComputeRunningProcesses_v3(abi::Device device,
                                                                        unsigned* count,
                                                                        abi::ProcessInfo* list) {
  return list_processes("nvmlDeviceGetMPSComputeRunningProcesses_v3", device, SimProcessKind::mps,
                        count, list);
}

}  // namespace sheaf::slices::simulation
