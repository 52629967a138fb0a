#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/flag_value.h"
#include "cli/slices.h"
#include "cli/slices_verbs.h"
#include "slices/device.h"

// `sheaf slices env SLICE`: how a process, a container or a cluster is given a card or a MIG slice.
namespace sheaf::cli {
namespace {

using slices::ComputeInstance;
using slices::Gpu;
using slices::GpuInstance;

// A card, or one MIG device of it.
struct Place {
  const Gpu* gpu = nullptr;
  const GpuInstance* instance = nullptr;
  const ComputeInstance* compute = nullptr;
  unsigned mig_index = 0;  // NVML's, among the MIG devices of the card

  const std::string& uuid() const { return compute == nullptr ? gpu->uuid : compute->uuid; }
  // As `sheaf serve --slices` takes it and x-sheaf-slice says it.
  std::string name() const {
    if (compute == nullptr) return fmt::format("gpu:{}", gpu->index);
    return "mig:" + slices::mig_place(*gpu, *instance, *compute);
  }
};

// In the order of NVML's indexes: by GPU instance's id, then compute instance's.
std::vector<Place> mig_places(const Gpu& gpu) {
  std::vector<Place> places;
  std::vector<const GpuInstance*> by_id;
  for (const GpuInstance& instance : gpu.instances) by_id.push_back(&instance);
  std::ranges::sort(by_id, {}, &GpuInstance::id);
  for (const GpuInstance* instance : by_id)
    for (const ComputeInstance& compute : instance->compute)
      places.push_back({&gpu, instance, &compute, static_cast<unsigned>(places.size())});
  return places;
}

// A slice's name, a UUID, an index ("0"), or card and MIG index ("0:1", as Docker counts).
Result<Place> find_place(const slices::GpuInventory& gpus, const std::string& word) {
  for (const Gpu& gpu : gpus.gpus) {
    const Place card{&gpu};
    if (card.name() == word || gpu.uuid == word || std::to_string(gpu.index) == word) return card;
    for (const Place& place : mig_places(gpu))
      if (place.name() == word || place.uuid() == word ||
          fmt::format("{}:{}", gpu.index, place.mig_index) == word)
        return place;
  }
  return Error{ErrorCode::not_found,
               fmt::format("no card and no MIG slice is {}; `sheaf slices` shows them", word)};
}

// "1g.5gb+me" → "nvidia.com/mig-1g.5gb.me".
std::string kubernetes_resource(const Place& place) {
  if (place.compute == nullptr) return "nvidia.com/gpu";
  std::string name = place.compute->name;
  std::ranges::replace(name, '+', '.');
  return "nvidia.com/mig-" + name;
}

// As the driver numbers nodes: those of a card's first GPU instance come after config and monitor.
struct CapabilityNodes {
  unsigned gpu_instance, compute_instance;
};
CapabilityNodes capability_nodes(unsigned minor, const Place& place) {
  constexpr unsigned kFirst = 3, kPerCard = 135, kPerInstance = 9;
  const unsigned gi = kFirst + kPerCard * minor + kPerInstance * place.instance->id;
  return {gi, gi + 1 + place.compute->id};
}

std::string slurm_line(const Place& place) {
  const unsigned minor = place.gpu->minor.value_or(place.gpu->index);
  std::string type = place.compute == nullptr ? place.gpu->name : place.compute->name;
  std::ranges::replace(type, ' ', '_');
  if (place.compute == nullptr)
    return fmt::format("Name=gpu Type={} File=/dev/nvidia{}", type, minor);
  const CapabilityNodes nodes = capability_nodes(minor, place);
  return fmt::format(
      "Name=gpu Type={} MultipleFiles=/dev/nvidia{},/dev/nvidia-caps/nvidia-cap{},"
      "/dev/nvidia-caps/nvidia-cap{}",
      type, minor, nodes.gpu_instance, nodes.compute_instance);
}

nlohmann::ordered_json facts_of_place(const Place& place) {
  const std::string& uuid = place.uuid();
  const std::string cdi = place.compute == nullptr
                              ? std::to_string(place.gpu->index)
                              : fmt::format("{}:{}", place.gpu->index, place.mig_index);
  return {{"slice", place.name()},
          {"CUDA_VISIBLE_DEVICES", uuid},
          {"NVIDIA_VISIBLE_DEVICES", uuid},
          {"docker", fmt::format("docker run --gpus '\"device={}\"'", cdi)},
          {"cdi", fmt::format("--device nvidia.com/gpu={}", cdi)},
          {"kubernetes", fmt::format("limits: {{{}: 1}}", kubernetes_resource(place))},
          {"slurm", slurm_line(place)}};
}

}  // namespace

int slices_env(const SlicesSettings& settings) {
  if (settings.words.size() != 1)
    return fail(
        "slices",
        usage_error("env takes one slice: gpu:0, mig:0/3, a UUID, an index, or GPU:MIG index"),
        kExitUsage);
  const auto here = look_at_slices();
  if (!here.ok()) return fail("slices", here.error());
  if (!here->no_gpus_because.empty())
    return fail("slices", {ErrorCode::not_found, here->no_gpus_because});
  const auto place = find_place(here->gpus, settings.words[0]);
  if (!place.ok()) return fail("slices", place.error());
  const auto facts = facts_of_place(*place);
  if (settings.json) {
    fmt::print("{}\n", facts.dump(2));
    return kExitOk;
  }
  for (const auto& [name, value] : facts.items()) {
    const bool is_variable = name == "CUDA_VISIBLE_DEVICES" || name == "NVIDIA_VISIBLE_DEVICES";
    fmt::print("{}\n", is_variable ? fmt::format("{}={}", name, value.get<std::string>())
                                   : fmt::format("# {}: {}", name, value.get<std::string>()));
  }
  return kExitOk;
}

}  // namespace sheaf::cli
