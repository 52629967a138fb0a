#pragma once

#include <cstdint>
#include <optional>

#include "slices/mig_geometry.h"
#include "slices/nvml_abi.h"
#include "slices/nvml_simulation/state.h"

// What cutting a simulated card does to its state, with NVML's answers.
namespace sheaf::slices::simulation {

MigGeometry geometry_of(const SimCard& card);

// On success `activation` says what became of it at once.
abi::Return set_mig_mode(SimCard& card, std::uint32_t mode, abi::Return& activation);

// Without a start where the driver would put it. `id` is set on success.
abi::Return create_gpu_instance(SimCard& card, std::uint32_t profile_id,
                                const std::optional<abi::Placement>& placement, std::uint32_t& id);
abi::Return destroy_gpu_instance(SimCard& card, std::uint32_t id);

std::optional<ComputeProfile> compute_profile(const SimCard& card, const SimGpuInstance& instance,
                                              std::uint32_t profile_id);
std::vector<std::uint32_t> free_compute_starts(const SimGpuInstance& instance,
                                               const ComputeProfile& profile);
abi::Return create_compute_instance(const SimCard& card, SimGpuInstance& instance,
                                    std::uint32_t profile_id,
                                    const std::optional<abi::Placement>& placement,
                                    std::uint32_t& id);
abi::Return destroy_compute_instance(SimCard& card, std::uint32_t gpu_instance,
                                     std::uint32_t compute_instance);

}  // namespace sheaf::slices::simulation
