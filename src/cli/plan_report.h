#pragma once

#include <span>
#include <string>

#include "planner/plan.h"

namespace sheaf::cli {

// A plan as tables for people, every choice with its reason; and as JSON.
std::string table_of(const planner::Machine& machine, std::span<const planner::Demand> demands,
                     const planner::Plan& plan);
std::string json_of(const planner::Machine& machine, std::span<const planner::Demand> demands,
                    const planner::Plan& plan);

// The cuts of the cards that it uses, as mig-parted and `sheaf slices apply` take them: one
// configuration, "sheaf-plan". The cards of the machine are taken to be numbered from 0.
std::string mig_configs_of(const planner::Plan& plan);

}  // namespace sheaf::cli
