#include "cli/plan_serving.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "slices/device.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;

bool is_said(const PlanServing::Model& model, const ModelSetting& setting,
             const ServeSettings& settings) {
  return setting.replicas.value_or(settings.num_replicas) == std::to_string(model.replicas) &&
         (model.slices.empty() || setting.slices == model.slices);
}

std::vector<PlanServing::Model> models_of(std::span<const planner::Demand> demands,
                                          std::span<const std::uint32_t> replicas,
                                          const ServeSettings& settings) {
  std::vector<PlanServing::Model> models;
  for (std::size_t i = 0; i < demands.size(); ++i) {
    models.push_back({demands[i].name, settings.models[i].source, replicas[i]});
    models.back().said = is_said(models.back(), settings.models[i], settings);
  }
  return models;
}

// The names of the devices that are there for the places, in their order; nothing if one is
// missing. Slices of one profile on one card are alike: the first that is not taken will do.
std::optional<std::vector<std::string>> find_places(const slices::GpuInventory& inventory,
                                                    std::span<const PlanServing::Place> places) {
  std::vector<slices::Device> devices = slices::devices_of(inventory);
  std::vector<std::string> names;
  for (const PlanServing::Place& place : places) {
    const auto found = std::ranges::find_if(devices, [&place](const slices::Device& device) {
      return device.gpu == place.card && device.mig == !place.profile.empty() &&
             (!device.mig || device.profile == place.profile);
    });
    if (found == devices.end()) return std::nullopt;
    names.push_back(found->name());
    devices.erase(found);
  }
  return names;
}

// A text that YAML takes for nothing else.
std::string quoted(const std::string& text) {
  return ordered_json(text).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

PlanServing serving_on(const PlanCards& cards, std::span<const planner::Demand> demands,
                       const planner::Plan& plan, const ServeSettings& settings) {
  PlanServing serving{.arguments = {"--device", "cuda"}};
  std::vector<std::uint32_t> replicas;
  for (const planner::PlannedModel& model : plan.models) replicas.push_back(model.replicas);
  serving.models = models_of(demands, replicas, settings);
  bool mps = false;
  for (const planner::PlannedSlice& slice : plan.slices) {
    serving.places.push_back({cards.indexes[slice.card], slice.part.profile, slice.models});
    mps = mps || slice.sharing == planner::Sharing::mps;
  }
  if (mps) serving.arguments.insert(serving.arguments.end(), {"--gpu-assignment", "mps"});
  return serving;
}

PlanServing serving_on_cores(std::span<const planner::Demand> demands,
                             std::span<const std::uint32_t> replicas,
                             const ServeSettings& settings) {
  return {.arguments = {"--device", "cpu"}, .models = models_of(demands, replicas, settings)};
}

void name_slices(const slices::GpuInventory& inventory, const ServeSettings& settings,
                 PlanServing& serving) {
  const auto names = find_places(inventory, serving.places);
  if (!names) return;
  for (PlanServing::Model& model : serving.models) model.slices.clear();
  for (std::size_t i = 0; i < names->size(); ++i)
    for (const std::size_t model : serving.places[i].models)
      serving.models[model].slices.push_back((*names)[i]);
  for (std::size_t i = 0; i < serving.models.size(); ++i)
    serving.models[i].said = is_said(serving.models[i], settings.models[i], settings);
}

std::string text_of(const PlanServing& serving, const std::string& file) {
  if (std::ranges::any_of(serving.models, [](const auto& model) { return model.replicas == 0; }))
    return "";
  std::string text = fmt::format("serve it: sheaf serve --config {} {}\n", file,
                                 fmt::join(serving.arguments, " "));
  if (std::ranges::all_of(serving.models, &PlanServing::Model::said)) return text;
  text += fmt::format("once {} says of its models, beside what it does:\nmodels:\n", file);
  for (const PlanServing::Model& model : serving.models) {
    if (model.said) continue;
    text += fmt::format("  - source: {}\n    name: {}\n    replicas: {}\n", quoted(model.source),
                        quoted(model.name), model.replicas);
    if (!model.slices.empty())
      text += fmt::format("    slices: [{}]\n", fmt::join(model.slices, ", "));
  }
  return text;
}

ordered_json json_of(const PlanServing& serving) {
  ordered_json models = ordered_json::array();
  for (const PlanServing::Model& model : serving.models)
    models.push_back(
        {{"name", model.name}, {"replicas", model.replicas}, {"slices", model.slices}});
  return {{"arguments", serving.arguments}, {"models", models}};
}

}  // namespace sheaf::cli
