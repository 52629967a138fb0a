#include "slices/gpu_place.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::slices {
namespace {

bool is_meant(const GpuPlace& place, const std::string& word) {
  const std::string name = place.name();
  if (word == name || word == name.substr(name.find(':') + 1) || word == place.uuid()) return true;
  if (!place.is_mig()) return false;
  return word == fmt::format("{}:{}", place.gpu->index, place.mig_index) ||
         (place.instance->compute.size() == 1 &&
          word == fmt::format("{}/{}", place.gpu->index, place.instance->id));
}

}  // namespace

bool GpuPlace::runs(const GpuProcess& process) const {
  if (!is_mig()) return true;
  return process.gpu_instance == instance->id && process.compute_instance == compute->id;
}

std::string GpuPlace::name() const {
  if (!is_mig()) return fmt::format("gpu:{}", gpu->index);
  const std::string whole = fmt::format("mig:{}/{}", gpu->index, instance->id);
  // It is the only one, and has no part in its name.
  const bool takes_all = instance->compute.size() == 1 && compute->name == instance->name;
  return takes_all ? whole : fmt::format("{}/{}", whole, compute->id);
}

std::string GpuPlace::text() const {
  return is_mig() ? fmt::format("{} ({})", name(), compute->name)
                  : fmt::format("GPU {}", gpu->index);
}

Status refuse_cut_card(const GpuPlace& place) {
  if (place.is_mig() || !place.gpu->mig || !place.gpu->mig->current) return {};
  std::vector<std::string> names;
  for (const GpuPlace& slice : mig_places(*place.gpu)) names.push_back(slice.name());
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("GPU {} is in MIG mode and cannot be used as a whole; {}", place.gpu->index,
                  names.empty() ? "it is not cut: `sheaf slices mig create` does that"
                                : fmt::format("its slices are {}", fmt::join(names, ", ")))};
}

std::vector<GpuPlace> mig_places(const Gpu& gpu) {
  std::vector<GpuPlace> places;
  std::vector<const GpuInstance*> by_id;
  for (const GpuInstance& instance : gpu.instances) by_id.push_back(&instance);
  std::ranges::sort(by_id, {}, &GpuInstance::id);
  for (const GpuInstance* instance : by_id)
    for (const ComputeInstance& compute : instance->compute)
      places.push_back({&gpu, instance, &compute, static_cast<unsigned>(places.size())});
  return places;
}

std::vector<GpuPlace> usable_places(const std::vector<Gpu>& gpus) {
  std::vector<GpuPlace> places;
  for (const Gpu& gpu : gpus) {
    if (!gpu.mig || !gpu.mig->current) {
      places.push_back({&gpu});
      continue;
    }
    const std::vector<GpuPlace> devices = mig_places(gpu);
    places.insert(places.end(), devices.begin(), devices.end());
  }
  return places;
}

Result<GpuPlace> find_place(const std::vector<Gpu>& gpus, const std::string& word) {
  for (const Gpu& gpu : gpus) {
    if (is_meant({&gpu}, word)) return GpuPlace{&gpu};
    for (const GpuPlace& place : mig_places(gpu))
      if (is_meant(place, word)) return place;
  }
  return Error{ErrorCode::not_found,
               fmt::format("no card and no MIG slice is {}; `sheaf slices` shows them", word)};
}

}  // namespace sheaf::slices
