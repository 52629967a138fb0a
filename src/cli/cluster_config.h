#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/gpu_place.h"

// How clusters are told of this machine's cards as they are cut now.
namespace sheaf::cli {

// Several programs on each card or slice.
struct Sharing {
  enum class Way { none, mps, time };
  Way way = Way::none;
  std::uint32_t replicas = 1;
};

// "nvidia.com/gpu", "nvidia.com/mig-1g.5gb.me".
std::string kubernetes_resource(const slices::GpuPlace& place);

// A configuration file of NVIDIA's device plugin, and in its first lines the resources that the
// node has by it. Error unsupported: MPS on a machine that is cut by MIG, which the plugin refuses.
Result<std::string> device_plugin_config(const std::vector<slices::GpuPlace>& places,
                                         const Sharing& sharing);

// A line of Slurm's gres.conf.
std::string gres_line(const slices::GpuPlace& place);
// The whole file, and in its first lines what slurm.conf says. Whole cards alone are shared.
std::string gres_config(const std::vector<slices::GpuPlace>& places, const Sharing& sharing);

}  // namespace sheaf::cli
