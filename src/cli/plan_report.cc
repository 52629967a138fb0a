#include "cli/plan_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "cli/table.h"
#include "planner/memory.h"
#include "planner/rates.h"
#include "slices/mig_table.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
using planner::Demand;
using planner::Machine;
using planner::Plan;
using planner::PlannedModel;
using planner::PlannedSlice;

std::string gib_text(std::uint64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 30));
}

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

// Above 1 of a target that is out of reach.
std::string load_text(double load) { return load <= 1 ? percent(load) : human_count(load) + " x"; }

std::string slice_name(const PlannedSlice& slice) {
  return slice.part.profile.empty() ? "whole" : slice.part.profile;
}

std::string names_of(const PlannedSlice& slice, std::span<const Demand> demands) {
  std::string names;
  for (const std::size_t i : slice.models)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", short_name(demands[i].name));
  return names;
}

std::string models_table(std::span<const Demand> demands, const Plan& plan) {
  Table table({{"model"}, {"replicas"}, {"tok/s"}, {"wanted"}, {"p99 ms"}, {"wanted"}, {"met"}});
  std::string reasons;
  for (std::size_t i = 0; i < demands.size(); ++i) {
    const PlannedModel& model = plan.models[i];
    const bool runs = model.replicas > 0;
    table.add_row({one_line(short_name(demands[i].name), 30), fmt::format("{}", model.replicas),
                   rate_or_none(model.tokens_per_s), rate_or_none(demands[i].wanted_tokens_per_s),
                   runs && demands[i].p99_ms > 0 ? fmt::format("{:.0f}", model.p99_ms) : "-",
                   demands[i].p99_ms > 0 ? fmt::format("{:.0f}", demands[i].p99_ms) : "-",
                   model.met ? "yes" : "no"});
    reasons += wrapped(fmt::format("  {}: {}", one_line(demands[i].name, 40), model.reason), 4);
  }
  return table.render() + reasons;
}

// sheaf serve divides a slice evenly among its replicas, whatever each needs.
std::string note_on_parts(const PlannedSlice& slice, std::span<const Demand> demands) {
  std::uint64_t largest = 0;
  for (const std::size_t i : slice.models)
    largest = std::max(largest, demands[i].weights_bytes + demands[i].replica_bytes);
  const std::uint64_t part = slice.usable_bytes / slice.models.size();
  if (largest <= part) return "";
  return fmt::format("; sheaf serve gives each an even part, {}, and one needs {}: {} fit there",
                     planner::gib_text(part), planner::gib_text(largest),
                     slice.usable_bytes / largest);
}

std::string slices_table(const PlanCards& cards, std::span<const Demand> demands,
                         const Plan& plan) {
  Table table({{"card"},
               {"slice", true},
               {"sharing", true},
               {"GiB"},
               {"of"},
               {"arithm."},
               {"traffic"},
               {"models", true}});
  std::string reasons;
  for (const PlannedSlice& slice : plan.slices) {
    table.add_row({fmt::format("{}", cards.indexes[slice.card]), slice_name(slice),
                   std::string(name_of(slice.sharing)), gib_text(slice.used_bytes),
                   gib_text(slice.usable_bytes), load_text(slice.compute_load),
                   load_text(slice.bandwidth_load), one_line(names_of(slice, demands), 24)});
    const std::string reason =
        wrapped(fmt::format("  {}, {}: {}{}", slice_name(slice), names_of(slice, demands),
                            slice.reason, note_on_parts(slice, demands)),
                4);
    if (reasons.find(reason) == std::string::npos) reasons += reason;  // slices alike
  }
  return table.render() + reasons;
}

// Which figures of the slices are not NVIDIA's; a line each, none of a card that is all documented.
std::string doubts_about(const slices::CardModel& card, const Plan& plan) {
  std::set<std::string> lines;
  for (const PlannedSlice& slice : plan.slices) {
    const slices::MigProfile* profile = slices::find_profile(card, slice.part.profile);
    if (profile == nullptr) continue;
    std::string doubts;
    const auto doubt = [&doubts](const char* what, slices::Certainty certainty) {
      if (certainty != slices::Certainty::documented)
        doubts += fmt::format("{}{} {}", doubts.empty() ? "" : ", ", what, name_of(certainty));
    };
    doubt("memory", profile->memory_certainty);
    doubt("multiprocessors", profile->multiprocessors_certainty);
    doubt("places", profile->placement_certainty);
    if (!doubts.empty()) lines.insert(fmt::format("{}/{}: {}\n", card.key, profile->name, doubts));
  }
  return fmt::format("{}", fmt::join(lines, ""));
}

struct Workspace {
  std::uint64_t least = 0, most = 0;
};
// That was counted for a replica: more where a model has several streams.
Workspace workspace_of(std::span<const Demand> demands) {
  if (demands.empty()) return {planner::kWorkspaceBytes, planner::kWorkspaceBytes};
  const auto [least, most] = std::ranges::minmax_element(demands, {}, &Demand::workspace_bytes);
  return {least->workspace_bytes, most->workspace_bytes};
}

std::string assumptions(std::span<const Demand> demands) {
  const auto [least, most] = workspace_of(demands);
  const std::string workspace = least < most ? planner::gib_text(least) + " to " : "";
  return wrapped(
      fmt::format("assumed: {} of a card's peak arithmetic and {} of its bandwidth where nothing "
                  "was measured; texts of {} tokens; batches of {:.0f} ms; {} of context and {}{} "
                  "of workspace a replica; slices shared by several give {}, those with a p99 {}",
                  percent(planner::kArithmeticEfficiency), percent(planner::kBandwidthEfficiency),
                  planner::kTextTokens, planner::kBatchMs,
                  planner::gib_text(planner::kContextBytes), workspace, planner::gib_text(most),
                  percent(planner::kSharedLimit), percent(planner::kPunctualLimit)),
      0);
}

ordered_json json_of_slice(const PlannedSlice& slice, const PlanCards& cards,
                           std::span<const Demand> demands) {
  ordered_json models = ordered_json::array();
  for (const std::size_t i : slice.models) models.push_back(demands[i].name);
  return {
      {"card", cards.indexes[slice.card]},
      {"profile", slice.part.profile.empty() ? ordered_json() : ordered_json(slice.part.profile)},
      {"sharing", name_of(slice.sharing)},
      {"models", models},
      {"usable_bytes", slice.usable_bytes},
      {"used_bytes", slice.used_bytes},
      {"compute_load", slice.compute_load},
      {"bandwidth_load", slice.bandwidth_load},
      {"reason", slice.reason}};
}

ordered_json json_of_model(const Demand& demand, const PlannedModel& model) {
  return {{"name", demand.name},
          {"isolation", name_of(demand.isolation)},
          {"weights_bytes", demand.weights_bytes},
          {"replica_bytes", demand.replica_bytes},
          {"workspace_bytes", demand.workspace_bytes},
          {"wanted_tokens_per_s", demand.wanted_tokens_per_s},
          {"wanted_p99_ms", demand.p99_ms},
          {"replicas", model.replicas},
          {"tokens_per_s", model.tokens_per_s},
          {"p99_ms", model.p99_ms},
          {"met", model.met},
          {"reason", model.reason}};
}

std::string mig_devices_of(const Plan& plan, std::uint32_t card) {
  std::map<std::string, int> counts;
  for (const PlannedSlice& slice : plan.slices)
    if (slice.card == card && !slice.part.profile.empty()) ++counts[slice.part.profile];
  std::string text;
  for (const auto& [profile, count] : counts)
    text += fmt::format("        \"{}\": {}\n", profile, count);
  return text;
}

}  // namespace

std::string rate_or_none(double tokens_per_s) {
  return tokens_per_s > 0 ? human_count(tokens_per_s) : "-";
}

std::string table_of(const Machine& machine, const PlanCards& cards,
                     std::span<const Demand> demands, const Plan& plan) {
  std::string out =
      fmt::format("{} × {}, {} used; {}\n\n", machine.cards, machine.card, plan.cuts.size(),
                  plan.exact          ? "no assignment to a card's cuts scores better"
                  : machine.cards > 1 ? "packed card by card: a better plan may exist"
                                      : "the search was cut short: a better plan may exist");
  out += models_table(demands, plan) + "\n";
  if (!plan.slices.empty()) out += slices_table(cards, demands, plan) + "\n";
  for (const std::string& card : cards.left_out) out += wrapped("left out: " + card, 2);
  return out + assumptions(demands) + doubts_about(*cards.model, plan);
}

ordered_json json_of(const Machine& machine, const PlanCards& cards,
                     std::span<const Demand> demands, const Plan& plan) {
  ordered_json json = {{"card", machine.card},
                       {"cards", machine.cards},
                       {"cards_used", plan.cuts.size()},
                       {"left_out", cards.left_out},
                       {"memory_utilization", machine.memory_utilization},
                       {"exact", plan.exact},
                       {"unserved", plan.score.unserved},
                       {"unmet", plan.score.unmet},
                       {"models", ordered_json::array()},
                       {"slices", ordered_json::array()}};
  for (std::size_t i = 0; i < demands.size(); ++i)
    json["models"].push_back(json_of_model(demands[i], plan.models[i]));
  for (const PlannedSlice& slice : plan.slices)
    json["slices"].push_back(json_of_slice(slice, cards, demands));
  json["assumed"] = {{"arithmetic_efficiency", planner::kArithmeticEfficiency},
                     {"bandwidth_efficiency", planner::kBandwidthEfficiency},
                     {"text_tokens", planner::kTextTokens},
                     {"batch_ms", planner::kBatchMs},
                     {"context_bytes", planner::kContextBytes},
                     {"workspace_bytes", workspace_of(demands).most},
                     {"shared_limit", planner::kSharedLimit},
                     {"punctual_limit", planner::kPunctualLimit}};
  return json;
}

std::string mig_configs_of(const PlanCards& cards, const Plan& plan) {
  // Cards that are cut alike stand in one entry.
  std::map<std::string, std::vector<unsigned>> cards_of;
  for (std::uint32_t card = 0; card < plan.cuts.size(); ++card)
    cards_of[mig_devices_of(plan, card)].push_back(cards.indexes[card]);
  std::string out = "version: v1\nmig-configs:\n  sheaf-plan:\n";
  if (cards_of.empty()) return "version: v1\nmig-configs:\n  sheaf-plan: []\n";
  for (const auto& [devices, indexes] : cards_of) {
    out += fmt::format("    - devices: [{}]\n", fmt::join(indexes, ", "));
    out += devices.empty() ? std::string("      mig-enabled: false\n      mig-devices: {}\n")
                           : "      mig-enabled: true\n      mig-devices:\n" + devices;
  }
  return out;
}

}  // namespace sheaf::cli
