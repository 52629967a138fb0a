#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/plan_cards.h"
#include "cli/serve_settings.h"
#include "planner/plan.h"
#include "slices/gpu.h"

namespace sheaf::cli {

// What `sheaf serve` is to be told so that a plan holds.
struct PlanServing {
  struct Model {
    std::string name, source;
    std::uint32_t replicas = 0;
    std::vector<std::string> slices = {};  // their names, "mig:0/3"; empty: not known
    bool said = false;                     // by the file already
  };
  // A slice or card of the plan.
  struct Place {
    unsigned card = 0;    // NVML's index
    std::string profile;  // empty: the card, not cut
    std::vector<std::size_t> models;
  };
  std::vector<std::string> arguments;  // of sheaf serve, behind --config FILE
  std::vector<Model> models;
  std::vector<Place> places;  // none: on cores, or of cards that are elsewhere
};

// On cards. Its slices have no names before name_slices().
PlanServing serving_on(const PlanCards& cards, std::span<const planner::Demand> demands,
                       const planner::Plan& plan, const ServeSettings& settings);
// On processor cores; so many replicas of each model.
PlanServing serving_on_cores(std::span<const planner::Demand> demands,
                             std::span<const std::uint32_t> replicas,
                             const ServeSettings& settings);

// Gives each model the names of its slices, if the cards are cut as planned; else nothing changes.
void name_slices(const slices::GpuInventory& inventory, const ServeSettings& settings,
                 PlanServing& serving);

// The command, and what is to stand in `file` beside what it says already. Empty where a model has
// no replica: such a plan cannot be served.
std::string text_of(const PlanServing& serving, const std::string& file);
nlohmann::ordered_json json_of(const PlanServing& serving);

}  // namespace sheaf::cli
