#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "cli/plan_cards.h"
#include "planner/plan.h"

namespace sheaf::cli {

// A plan as tables for people, every choice with its reason; and as JSON.
std::string table_of(const planner::Machine& machine, const PlanCards& cards,
                     std::span<const planner::Demand> demands, const planner::Plan& plan);
nlohmann::ordered_json json_of(const planner::Machine& machine, const PlanCards& cards,
                               std::span<const planner::Demand> demands, const planner::Plan& plan);

// "12.3k"; "-" of none.
std::string rate_or_none(double tokens_per_s);

// The cuts of the cards that it uses, as mig-parted and `sheaf slices apply` take them: one
// configuration, "sheaf-plan".
std::string mig_configs_of(const PlanCards& cards, const planner::Plan& plan);

}  // namespace sheaf::cli
