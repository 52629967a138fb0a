#include "slices/device.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::slices {
namespace {

Device whole_card(const Gpu& gpu) {
  return {.gpu = gpu.index,
          .mig = false,
          .place = std::to_string(gpu.index),
          .profile = gpu.name,
          .uuid = gpu.uuid,
          .card_uuid = gpu.uuid,
          .memory_bytes = gpu.memory_bytes,
          .free_bytes = gpu.free_bytes,
          .numa_node = gpu.numa_node};
}

Device mig_device(const Gpu& gpu, const GpuInstance& instance, const ComputeInstance& compute) {
  const std::uint64_t parts = std::max<std::size_t>(instance.compute.size(), 1);
  return {.gpu = gpu.index,
          .mig = true,
          .place = mig_place(gpu, instance, compute),
          .profile = compute.name,
          .uuid = compute.uuid,
          .card_uuid = gpu.uuid,
          .memory_bytes = instance.memory_bytes / parts,
          .free_bytes = instance.free_bytes.value_or(instance.memory_bytes) / parts,
          .numa_node = gpu.numa_node};
}

void add_mig_devices(const Gpu& gpu, std::vector<Device>& devices) {
  std::vector<const GpuInstance*> by_id;
  for (const GpuInstance& instance : gpu.instances) by_id.push_back(&instance);
  std::ranges::sort(by_id, {}, &GpuInstance::id);
  for (const GpuInstance* instance : by_id)
    for (const ComputeInstance& compute : instance->compute)
      if (compute.visible && !compute.uuid.empty())
        devices.push_back(mig_device(gpu, *instance, compute));
}

}  // namespace

bool Device::is_meant_by(std::string_view word) const {
  const std::string index = std::to_string(gpu);
  return word == name() || word == uuid || word == card_uuid || word == index ||
         word == "gpu:" + index || name().starts_with(std::string(word) + "/");
}

std::string mig_place(const Gpu& gpu, const GpuInstance& instance, const ComputeInstance& compute) {
  const std::string place = fmt::format("{}/{}", gpu.index, instance.id);
  return compute.name == instance.name ? place : fmt::format("{}/{}", place, compute.id);
}

std::vector<Device> devices_of(const GpuInventory& inventory) {
  std::vector<Device> devices;
  for (const Gpu& gpu : inventory.gpus) {
    if (gpu.mig && gpu.mig->current)
      add_mig_devices(gpu, devices);
    else if (gpu.visible && !gpu.uuid.empty())
      devices.push_back(whole_card(gpu));
  }
  return devices;
}

}  // namespace sheaf::slices
