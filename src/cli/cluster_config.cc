#include "cli/cluster_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace sheaf::cli {
namespace {

using slices::GpuPlace;
using Way = Sharing::Way;

constexpr int kMpsShares = 100;  // of a card: per cent of its threads

bool any_mig(const std::vector<GpuPlace>& places) {
  return std::ranges::any_of(places, [](const GpuPlace& place) { return place.is_mig(); });
}

std::map<std::string, std::uint32_t> resources_of(const std::vector<GpuPlace>& places) {
  std::map<std::string, std::uint32_t> counts;
  for (const GpuPlace& place : places) ++counts[kubernetes_resource(place)];
  return counts;
}

// As the driver numbers nodes: those of a card's first GPU instance come after config and monitor.
struct CapabilityNodes {
  unsigned gpu_instance, compute_instance;
};
CapabilityNodes capability_nodes(unsigned minor, const GpuPlace& place) {
  constexpr unsigned kFirst = 3, kPerCard = 135, kPerInstance = 9;
  const unsigned gi = kFirst + kPerCard * minor + kPerInstance * place.instance->id;
  return {gi, gi + 1 + place.compute->id};
}

unsigned minor_of(const GpuPlace& place) { return place.gpu->minor.value_or(place.gpu->index); }

std::string gres_type(const GpuPlace& place) {
  std::string type = place.is_mig() ? place.compute->name : place.gpu->name;
  std::ranges::replace(type, ' ', '_');
  return type;
}

// "Name=shard Count=4 File=/dev/nvidia0"; empty for a MIG slice.
std::string shared_line(const GpuPlace& place, const Sharing& sharing) {
  if (place.is_mig() || sharing.way == Way::none) return "";
  return sharing.way == Way::mps
             ? fmt::format("Name=mps Count={} File=/dev/nvidia{}\n", kMpsShares, minor_of(place))
             : fmt::format("Name=shard Count={} File=/dev/nvidia{}\n", sharing.replicas,
                           minor_of(place));
}

// What slurm.conf says of the node: "gpu:1g.5gb:7,shard:4".
std::string node_gres(const std::vector<GpuPlace>& places, const Sharing& sharing) {
  std::map<std::string, int> counts;
  int whole_cards = 0;
  for (const GpuPlace& place : places) {
    ++counts[gres_type(place)];
    whole_cards += place.is_mig() ? 0 : 1;
  }
  std::string text;
  for (const auto& [type, count] : counts)
    text += fmt::format("{}gpu:{}:{}", text.empty() ? "" : ",", type, count);
  if (whole_cards > 0 && sharing.way == Way::mps)
    text += fmt::format(",mps:{}", whole_cards * kMpsShares);
  if (whole_cards > 0 && sharing.way == Way::time)
    text += fmt::format(",shard:{}", whole_cards * static_cast<int>(sharing.replicas));
  return text;
}

}  // namespace

std::string kubernetes_resource(const GpuPlace& place) {
  if (!place.is_mig()) return "nvidia.com/gpu";
  std::string name = place.compute->name;
  std::ranges::replace(name, '+', '.');
  return "nvidia.com/mig-" + name;
}

Result<std::string> device_plugin_config(const std::vector<GpuPlace>& places,
                                         const Sharing& sharing) {
  const bool mig = any_mig(places);
  if (mig && sharing.way == Way::mps)
    return Error{ErrorCode::unsupported,
                 "the device plugin runs no MPS on a node with MIG slices: --sharing time, or "
                 "`sheaf slices mps` outside Kubernetes"};
  const std::uint32_t replicas = sharing.way == Way::none ? 1 : sharing.replicas;
  const auto resources = resources_of(places);
  std::string text;
  for (const auto& [name, count] : resources)
    text += fmt::format("# this node has {}: {}\n", name, count * replicas);
  if (sharing.way == Way::mps)
    text += fmt::format("# each with a {}th of the card's threads and memory\n", replicas);
  text += fmt::format("version: v1\nflags:\n  migStrategy: {}\n", mig ? "mixed" : "none");
  if (sharing.way == Way::none) return text;
  text += sharing.way == Way::mps
              ? "sharing:\n  mps:\n"
              : "sharing:\n  timeSlicing:\n    failRequestsGreaterThanOne: true\n";
  text += "    renameByDefault: false\n    resources:\n";
  for (const auto& [name, count] : resources)
    text += fmt::format("      - name: {}\n        replicas: {}\n", name, replicas);
  return text;
}

std::string gres_line(const GpuPlace& place) {
  const unsigned minor = minor_of(place);
  if (!place.is_mig())
    return fmt::format("Name=gpu Type={} File=/dev/nvidia{}", gres_type(place), minor);
  const CapabilityNodes nodes = capability_nodes(minor, place);
  return fmt::format(
      "Name=gpu Type={} MultipleFiles=/dev/nvidia{},/dev/nvidia-caps/nvidia-cap{},"
      "/dev/nvidia-caps/nvidia-cap{}",
      gres_type(place), minor, nodes.gpu_instance, nodes.compute_instance);
}

std::string gres_config(const std::vector<GpuPlace>& places, const Sharing& sharing) {
  std::string text = fmt::format("# slurm.conf: GresTypes=gpu{}; on the node's line Gres={}\n",
                                 sharing.way == Way::mps    ? ",mps"
                                 : sharing.way == Way::time ? ",shard"
                                                            : "",
                                 node_gres(places, sharing));
  if (sharing.way == Way::mps)
    text += "# a prolog starts MPS; one card of a node runs jobs of mps at a time\n";
  if (any_mig(places)) text += "# before Slurm 23.02 a job should ask for one MIG slice only\n";
  for (const GpuPlace& place : places) text += gres_line(place) + "\n";
  for (const GpuPlace& place : places) text += shared_line(place, sharing);
  return text;
}

}  // namespace sheaf::cli
