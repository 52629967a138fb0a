#include "slices/device.h"

#include <fmt/format.h>

#include "slices/gpu_place.h"
#include "slices/slice.h"

namespace sheaf::slices {
namespace {

Device device_of(const GpuPlace& place) {
  const Gpu& gpu = *place.gpu;
  Device device{.gpu = gpu.index,
                .mig = place.is_mig(),
                .mig_index = place.mig_index,
                .place = std::string(place_in(place.name())),
                .profile = gpu.name,
                .uuid = place.uuid(),
                .card_uuid = gpu.uuid,
                .memory_bytes = gpu.memory_bytes,
                .free_bytes = gpu.free_bytes,
                .numa_node = gpu.numa_node};
  if (!place.is_mig()) return device;
  const GpuInstance& instance = *place.instance;
  device.profile = place.compute->name;
  device.memory_bytes = instance.memory_bytes / instance.compute.size();
  device.free_bytes = instance.free_bytes.value_or(instance.memory_bytes) / instance.compute.size();
  return device;
}

}  // namespace

bool Device::is_meant_by(std::string_view word) const {
  const std::string index = std::to_string(gpu);
  if (mig && word == fmt::format("{}:{}", gpu, mig_index)) return true;
  return word == name() || word == uuid || word == card_uuid || word == index ||
         word == "gpu:" + index || name().starts_with(std::string(word) + "/");
}

std::vector<Device> devices_of(const GpuInventory& inventory) {
  std::vector<Device> devices;
  for (const GpuPlace& place : usable_places(inventory.gpus))
    if (place.visible() && !place.uuid().empty()) devices.push_back(device_of(place));
  return devices;
}

}  // namespace sheaf::slices
