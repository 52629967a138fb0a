#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/result.h"
#include "cli/serve_settings.h"
#include "planner/cores.h"

namespace sheaf::cli {

// What a machine of this one's processors, but with `cores` of them and `memory_bytes`, would be
// asked for: rates are those that `sheaf models measure` kept, as many times as it has more cores,
// unless the file says what was measured there; memory is what sheaf-replica estimates. Error
// (not_found) of a model that was never measured.
Result<std::vector<planner::Demand>> demands_on_cores(const ServeSettings& settings,
                                                      std::uint32_t cores);

// This machine's cores, within what is granted to it, and its memory.
Result<planner::CoreMachine> cores_here();

std::string table_of(const planner::CoreMachine& machine, std::span<const planner::Demand> demands,
                     const planner::CorePlan& plan);
nlohmann::ordered_json json_of(const planner::CoreMachine& machine,
                               std::span<const planner::Demand> demands,
                               const planner::CorePlan& plan);

}  // namespace sheaf::cli
