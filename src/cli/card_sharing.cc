#include "cli/card_sharing.h"

#include <fmt/format.h>

#include <cmath>

namespace sheaf::cli {
namespace {

using nlohmann::json;

constexpr double kSharingGain = 1.05;  // a gain below is not worth the memory
constexpr std::uint32_t kSharingMax = 16;

bool gains(const SharingStep& before, const SharingStep& after) {
  return after.tokens_per_s >= kSharingGain * before.tokens_per_s;
}

bool is_sound(const CardSharing& sharing) {
  std::uint32_t replicas = 1;
  for (const SharingStep& step : sharing) {
    if (step.replicas != replicas || replicas > kSharingMax) return false;
    if (!(step.tokens_per_s > 0 && step.tokens_per_s < 1e12)) return false;
    replicas *= 2;
  }
  return !sharing.empty();
}

std::optional<CardSharing> sharing_of(const json& list) {
  try {
    CardSharing sharing;
    for (const json& step : list) sharing.push_back({step.at("replicas"), step.at("tokens_per_s")});
    if (is_sound(sharing)) return sharing;
  } catch (const json::exception&) {
  }
  return std::nullopt;
}

}  // namespace

Result<CardSharing> measure_sharing(const RateOf& rate_of) {
  CardSharing sharing;
  for (std::uint32_t replicas = 1; replicas <= kSharingMax; replicas *= 2) {
    const auto rate = rate_of(replicas);
    const bool may_change = !rate.ok() && rate.error().code == ErrorCode::unavailable;
    if (!rate.ok() && (sharing.empty() || may_change)) return rate.error();
    if (!rate.ok() || !*rate) break;
    sharing.push_back({replicas, **rate});
    if (sharing.size() > 1 && !gains(sharing[sharing.size() - 2], sharing.back())) break;
  }
  if (!sharing.empty()) return sharing;
  return Error{ErrorCode::too_large, "there is no room for one replica"};
}

std::uint32_t best_sharing(const CardSharing& sharing) {
  const SharingStep* best = &sharing.front();
  for (const SharingStep& step : sharing)
    if (&step != best && gains(*best, step)) best = &step;
  return best->replicas;
}

std::string describe(const CardSharing& sharing) {
  std::vector<std::string> steps;
  for (const SharingStep& step : sharing)
    steps.push_back(fmt::format("{}: {:.0f} tokens/s", step.replicas, step.tokens_per_s));
  return fmt::format("{}", fmt::join(steps, ", "));
}

std::optional<CardSharing> kept_sharing(const Measured& of) {
  const auto kept = read_measured(of);
  return kept ? sharing_of(*kept) : std::nullopt;
}

Status keep_sharing(const Measured& of, const CardSharing& sharing) {
  json list = json::array();
  for (const SharingStep& step : sharing)
    list.push_back({{"replicas", step.replicas}, {"tokens_per_s", step.tokens_per_s}});
  return write_measured(of, std::move(list));
}

std::map<std::string, CardSharing> kept_sharing_on_cards(const ModelSource& source) {
  std::map<std::string, CardSharing> all;
  for (const MeasuredOnCard& one : measured_on_cards(kSharing, source))
    if (auto sharing = sharing_of(one.result)) all.emplace(one.of.on, std::move(*sharing));
  return all;
}

}  // namespace sheaf::cli
