#include <fmt/format.h>

#include <algorithm>

#include "cli/cluster_config.h"
#include "cli/command.h"
#include "cli/flag_value.h"
#include "cli/slices.h"
#include "cli/slices_verbs.h"
#include "slices/gpu_place.h"
#include "slices/lease_choice.h"
#include "slices/slice.h"

// `sheaf slices env`: how a process, a container or a cluster is given a card or a MIG slice.
namespace sheaf::cli {
namespace {

using slices::GpuPlace;

nlohmann::ordered_json facts_of_place(const GpuPlace& place) {
  const std::string& uuid = place.uuid();
  const std::string cdi = place.is_mig() ? fmt::format("{}:{}", place.gpu->index, place.mig_index)
                                         : std::to_string(place.gpu->index);
  return {{"slice", place.name()},
          {"CUDA_VISIBLE_DEVICES", uuid},
          {"NVIDIA_VISIBLE_DEVICES", uuid},
          {"docker", fmt::format("docker run --gpus '\"device={}\"'", cdi)},
          {"cdi", fmt::format("--device nvidia.com/gpu={}", cdi)},
          {"kubernetes", fmt::format("limits: {{{}: 1}}", kubernetes_resource(place))},
          {"slurm", gres_line(place)}};
}

// Cores are given by their numbers; Kubernetes names none.
nlohmann::ordered_json facts_of_cores(const slices::LeasedSlice& cores) {
  const std::string list = slices::format_cpu_list(cores.cpus);
  return {{"slice", cores.id},
          {"taskset", fmt::format("taskset --cpu-list {}", list)},
          {"docker", fmt::format("docker run --cpuset-cpus {}", list)},
          {"slurm", fmt::format("srun --cpu-bind=map_cpu:{}", fmt::join(cores.cpus, ","))}};
}

int print_facts(const nlohmann::ordered_json& facts, bool json) {
  if (json) {
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

Sharing sharing_of(const SlicesSettings& settings) {
  if (settings.sharing == "none") return {};
  return {settings.sharing == "mps" ? Sharing::Way::mps : Sharing::Way::time, settings.replicas};
}

Result<std::string> config_for(const std::string& cluster, const std::vector<GpuPlace>& places,
                               const Sharing& sharing) {
  if (cluster == "kubernetes") return device_plugin_config(places, sharing);
  return gres_config(places, sharing);
}

int print_config(const SlicesSettings& settings, const std::vector<slices::Gpu>& gpus) {
  std::vector<GpuPlace> places = slices::usable_places(gpus);
  std::erase_if(places, [](const GpuPlace& place) { return !place.visible(); });
  const auto config = config_for(settings.words[0], places, sharing_of(settings));
  if (!config.ok()) return fail("slices", config.error());
  if (settings.json)
    fmt::print("{}\n", nlohmann::ordered_json{{settings.words[0], *config}}.dump(2));
  else
    fmt::print("{}", *config);
  return kExitOk;
}

// Nobody needs to know of cards for that.
int env_of_cores(const std::string& name, bool json) {
  const auto machine = slices::detect_machine();
  if (!machine.ok()) return fail("slices", machine.error());
  const auto cores = slices::named_cores(name, *machine);
  if (!cores.ok()) return fail("slices", cores.error(), exit_code_of(cores.error()));
  return print_facts(facts_of_cores(*cores), json);
}

}  // namespace

int slices_env(const SlicesSettings& settings) {
  if (settings.words.size() != 1)
    return fail(
        "slices",
        usage_error("env takes one slice: gpu:0, mig:0/3, a UUID, an index, GPU:MIG index, or "
                    "cores:0-1; or kubernetes, or slurm"),
        kExitUsage);
  if (settings.words[0].starts_with("cores:"))
    return env_of_cores(settings.words[0], settings.json);
  const auto here = look_at_slices();
  if (!here.ok()) return fail("slices", here.error());
  if (!here->no_gpus_because.empty())
    return fail("slices", {ErrorCode::not_found, here->no_gpus_because});
  if (settings.words[0] == "kubernetes" || settings.words[0] == "slurm")
    return print_config(settings, here->gpus.gpus);
  const auto place = slices::find_place(here->gpus.gpus, settings.words[0]);
  if (!place.ok()) return fail("slices", place.error());
  if (const Status whole = slices::refuse_cut_card(*place); !whole.ok())
    return fail("slices", whole.error());
  return print_facts(facts_of_place(*place), settings.json);
}

}  // namespace sheaf::cli
