#include "slices/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>
#include <utility>

#include "slices/card_reader.h"

namespace sheaf::slices {
namespace {

// Puts a reading in its place. A card that lacks the thing lacks the value; anything else that NVML
// refuses is a note.
template <class Value, class Target>
void take(Gpu& gpu, const Result<Value>& reading, Target& target) {
  if (reading.ok())
    target = *reading;
  else if (reading.error().code != ErrorCode::unsupported)
    gpu.notes.push_back(reading.error().message);
}

std::string program_of(unsigned pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

// "00000000:17:00.0" → the node that /sys tells for "0000:17:00.0".
int numa_node_of(std::string bus_id) {
  std::ranges::transform(bus_id, bus_id.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (bus_id.size() > 12) bus_id.erase(0, bus_id.size() - 12);
  std::ifstream file("/sys/bus/pci/devices/" + bus_id + "/numa_node");
  int node = -1;
  return file >> node ? node : -1;
}

std::optional<unsigned> instance_id(unsigned id) {
  return id == abi::kNoInstance ? std::nullopt : std::optional(id);
}

constexpr Nvml::ProcessKind kProcessKinds[] = {Nvml::ProcessKind::compute,
                                               Nvml::ProcessKind::graphics, Nvml::ProcessKind::mps};

GpuProcess process_of(const abi::ProcessInfo& told, Nvml::ProcessKind kind) {
  return {told.pid, program_of(told.pid),           told.used_memory,
          kind,     instance_id(told.gpu_instance), instance_id(told.compute_instance)};
}

void read_processes(const Nvml& nvml, abi::Device device, Gpu& gpu) {
  for (const auto kind : kProcessKinds) {
    std::vector<abi::ProcessInfo> list;
    take(gpu, nvml.processes(device, kind), list);
    for (const abi::ProcessInfo& one : list) gpu.processes.push_back(process_of(one, kind));
  }
  std::ranges::sort(gpu.processes, {}, &GpuProcess::pid);
}

void read_state(const Nvml& nvml, abi::Device device, Gpu& gpu) {
  take(gpu, nvml.minor_number(device), gpu.minor);
  take(gpu, nvml.temperature_c(device), gpu.temperature_c);
  take(gpu, nvml.power_mw(device), gpu.power_mw);
  take(gpu, nvml.power_limit_mw(device), gpu.power_limit_mw);
  take(gpu, nvml.compute_mode(device), gpu.compute_mode);
  take(gpu, nvml.persistence(device), gpu.persistence);
  take(gpu, nvml.ecc_enabled(device), gpu.ecc_enabled);
  take(gpu, nvml.uncorrected_ecc_errors(device), gpu.uncorrected_ecc_errors);
  take(gpu, nvml.retired_pages_pending(device), gpu.retired_pages_pending);
  take(gpu, nvml.remapped_rows(device), gpu.remapped_rows);
  take(gpu, nvml.pcie(device), gpu.pcie);
  take(gpu, nvml.throttle_reasons(device), gpu.throttle_reasons);
  take(gpu, nvml.recovery_action(device), gpu.recovery_action);
  take(gpu, nvml.active_nvlinks(device), gpu.nvlinks);
  std::optional<abi::Utilization> utilization;
  take(gpu, nvml.utilization(device), utilization);
  if (utilization) gpu.utilization_percent = utilization->gpu;
}

void read_identity(const Nvml& nvml, abi::Device device, Gpu& gpu) {
  take(gpu, nvml.name(device), gpu.name);
  take(gpu, nvml.uuid(device), gpu.uuid);
  std::optional<abi::PciInfo> pci;
  take(gpu, nvml.pci(device), pci);
  if (pci) {
    gpu.bus_id = pci->bus_id;
    gpu.pci_id = pci->pci_device_id;
    gpu.numa_node = numa_node_of(gpu.bus_id);
  }
  std::optional<abi::Memory> memory;
  take(gpu, nvml.memory(device), memory);
  if (memory) {
    gpu.memory_bytes = memory->total;
    gpu.free_bytes = memory->free;
  }
  std::optional<Nvml::Capability> capability;
  take(gpu, nvml.compute_capability(device), capability);
  if (capability) {
    gpu.compute_capability_major = capability->major;
    gpu.compute_capability_minor = capability->minor;
  }
}

std::string compute_name(const GpuInstance& instance, unsigned slices_of_instance,
                         unsigned slices) {
  return slices == slices_of_instance ? instance.name
                                      : fmt::format("{}c.{}", slices, instance.name);
}

Status read_compute_instances(const Nvml& nvml, abi::GpuInstance handle,
                              unsigned slices_of_instance, Gpu& gpu, GpuInstance& instance) {
  SHEAF_ASSIGN(const auto profiles, nvml.compute_profiles(handle));
  for (const abi::ComputeInstanceProfileInfo& profile : profiles) {
    SHEAF_ASSIGN(const auto live, nvml.compute_instances(handle, profile));
    for (const Nvml::LiveComputeInstance& one : live) {
      ComputeInstance compute{.id = one.info.id,
                              .profile_id = one.info.profile_id,
                              .start = one.info.placement.start,
                              .size = one.info.placement.size};
      compute.name = compute_name(instance, slices_of_instance, profile.slice_count);
      take(gpu, nvml.uuid(one.info.device), compute.uuid);
      std::optional<abi::Memory> memory;
      take(gpu, nvml.memory(one.info.device), memory);
      if (memory) instance.free_bytes = memory->free;
      instance.compute.push_back(std::move(compute));
    }
  }
  std::ranges::sort(instance.compute, {}, &ComputeInstance::id);
  return {};
}

Status read_instances(const Nvml& nvml, abi::Device device, Gpu& gpu) {
  SHEAF_ASSIGN(const auto profiles, nvml.gpu_profiles(device));
  for (const NvmlGpuProfile& profile : profiles) {
    SHEAF_ASSIGN(const auto live, nvml.gpu_instances(device, profile));
    for (const Nvml::LiveGpuInstance& one : live) {
      GpuInstance instance{.id = one.info.id,
                           .profile_id = one.info.profile_id,
                           .start = one.info.placement.start,
                           .size = one.info.placement.size};
      const MigProfile* known =
          gpu.model == nullptr ? nullptr : find_profile_by_id(*gpu.model, profile.info.id);
      instance.name = known != nullptr
                          ? std::string(known->name)
                          : profile_name(static_cast<int>(profile.info.slice_count),
                                         profile.info.memory_mib, gpu.memory_bytes >> 20);
      instance.memory_bytes = profile.info.memory_mib << 20;
      SHEAF_TRY(read_compute_instances(nvml, one.handle, profile.info.slice_count, gpu, instance));
      gpu.instances.push_back(std::move(instance));
    }
  }
  std::ranges::sort(gpu.instances, {}, &GpuInstance::start);
  return {};
}

// --- CUDA_VISIBLE_DEVICES ---

void hide(Gpu& gpu) {
  gpu.visible = false;
  for (GpuInstance& instance : gpu.instances)
    for (ComputeInstance& compute : instance.compute) compute.visible = false;
}

void show(Gpu& gpu) {
  gpu.visible = true;
  for (GpuInstance& instance : gpu.instances)
    for (ComputeInstance& compute : instance.compute) compute.visible = true;
}

// "MIG-GPU-<uuid>/<gi>/<ci>", as drivers before R470 call them.
std::string old_mig_name(const Gpu& gpu, const GpuInstance& instance,
                         const ComputeInstance& compute) {
  return fmt::format("MIG-{}/{}/{}", gpu.uuid, instance.id, compute.id);
}

bool show_mig(GpuInventory& inventory, std::string_view word) {
  for (Gpu& gpu : inventory.gpus)
    for (GpuInstance& instance : gpu.instances)
      for (ComputeInstance& compute : instance.compute) {
        if (compute.uuid != word && old_mig_name(gpu, instance, compute) != word) continue;
        gpu.visible = compute.visible = true;
        return true;
      }
  return false;
}

bool show_word(GpuInventory& inventory, std::string_view word) {
  if (word.starts_with("MIG-")) return show_mig(inventory, word);
  if (word.starts_with("GPU-")) {
    const auto found = std::ranges::find_if(
        inventory.gpus, [word](const Gpu& gpu) { return gpu.uuid.starts_with(word); });
    if (found == inventory.gpus.end()) return false;
    show(*found);
    return true;
  }
  unsigned index = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), index);
  if (failure != std::errc() || end != word.data() + word.size()) return false;
  const auto found = std::ranges::find(inventory.gpus, index, &Gpu::index);
  if (found == inventory.gpus.end()) return false;
  show(*found);
  return true;
}

bool all_alike(const std::vector<Gpu>& gpus) {
  return std::ranges::all_of(gpus, [&](const Gpu& gpu) { return gpu.name == gpus[0].name; });
}

}  // namespace

Result<Gpu> read_gpu(const Nvml& nvml, unsigned index, Reading reading) {
  SHEAF_ASSIGN(const abi::Device device, nvml.device(index));
  Gpu gpu{.index = index};
  read_identity(nvml, device, gpu);
  take(gpu, nvml.mig_mode(device), gpu.mig);
  if (reading == Reading::all) {
    read_state(nvml, device, gpu);
    read_processes(nvml, device, gpu);
  }
  if (!gpu.mig) return gpu;
  gpu.model = read_card_model(nvml, device, gpu.pci_id, gpu.name);
  if (gpu.mig->current)
    if (const Status read = read_instances(nvml, device, gpu); !read.ok()) {
      gpu.instances_known = false;
      gpu.notes.push_back("its instances cannot be listed: " + read.error().message);
    }
  return gpu;
}

std::vector<GpuProcess> processes_of(const Nvml& nvml, abi::Device device) {
  std::vector<GpuProcess> processes;
  for (const auto kind : kProcessKinds)
    if (const auto list = nvml.processes(device, kind); list.ok())
      for (const abi::ProcessInfo& one : *list) processes.push_back(process_of(one, kind));
  std::ranges::sort(processes, {}, &GpuProcess::pid);
  return processes;
}

Result<GpuInventory> read_gpus(const Nvml& nvml, const char* visible_devices, Reading reading) {
  GpuInventory inventory{.driver_version = nvml.driver_version(),
                         .nvml_version = nvml.nvml_version(),
                         .cuda_version = nvml.cuda_version(),
                         .simulated = nvml.is_simulation()};
  SHEAF_ASSIGN(const unsigned count, nvml.device_count());
  for (unsigned index = 0; index < count; ++index) {
    auto gpu = read_gpu(nvml, index, reading);
    if (gpu.ok())
      inventory.gpus.push_back(std::move(*gpu));
    else
      inventory.notes.push_back(fmt::format("GPU {}: {}", index, gpu.error().message));
  }
  mark_visible(inventory, visible_devices);
  return inventory;
}

void mark_visible(GpuInventory& inventory, const char* visible_devices) {
  if (visible_devices == nullptr) return;
  for (Gpu& gpu : inventory.gpus) hide(gpu);
  std::string_view rest = visible_devices;
  bool by_index = false;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    if (!show_word(inventory, word)) {
      // As CUDA does: what comes after is not looked at ("-1" hides all on purpose).
      if (word != "-1")
        inventory.notes.push_back(fmt::format(
            "CUDA_VISIBLE_DEVICES names {}, which is not here; it and what follows is ignored",
            word));
      break;
    }
    by_index = by_index || (!word.starts_with("GPU-") && !word.starts_with("MIG-"));
  }
  if (by_index && inventory.gpus.size() > 1 && !all_alike(inventory.gpus))
    inventory.notes.emplace_back(
        "CUDA_VISIBLE_DEVICES counts cards by the bus here, but CUDA counts fast ones first unless "
        "CUDA_DEVICE_ORDER=PCI_BUS_ID: name UUIDs instead");
}

std::string versions_of(const GpuInventory& inventory) {
  return fmt::format("driver {}, CUDA {}.{}", inventory.driver_version,
                     inventory.cuda_version / 1000, inventory.cuda_version % 1000 / 10);
}

}  // namespace sheaf::slices
