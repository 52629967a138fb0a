#include "cli/card_sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "channel/layout.h"

namespace sheaf::cli {
namespace {

using nlohmann::json;

constexpr double kSharingGain = 1.05;  // a gain below is not worth the memory
constexpr std::uint32_t kSharingMax = 16;

bool gains(const SharingStep& before, const SharingStep& after) {
  return after.tokens_per_s >= kSharingGain * before.tokens_per_s;
}

bool is_sound(const SharingStep& step) {
  return step.replicas >= 1 && step.replicas <= kSharingMax && step.streams >= 1 &&
         step.streams <= channel::kLanesMax && step.tokens_per_s > 0 && step.tokens_per_s < 1e12;
}

// As measure_sharing() goes on from a step: one of the two doubles, streams only of one replica.
bool goes_on(const SharingStep& first, const SharingStep& before, const SharingStep& step) {
  if (step.replicas == 1) return before.replicas == 1 && step.streams == 2 * before.streams;
  return step.replicas == 2 * before.replicas && step.streams == first.streams;
}

bool is_sound(const CardSharing& sharing) {
  if (sharing.empty() || sharing.front().replicas != 1) return false;
  for (std::size_t i = 1; i < sharing.size(); ++i)
    if (!goes_on(sharing.front(), sharing[i - 1], sharing[i])) return false;
  return std::ranges::all_of(sharing, [](const SharingStep& step) { return is_sound(step); });
}

std::optional<CardSharing> sharing_of(const json& list) {
  try {
    CardSharing sharing;
    for (const json& step : list)
      sharing.push_back({step.at("replicas"), step.at("streams"), step.at("tokens_per_s")});
    if (is_sound(sharing)) return sharing;
  } catch (const json::exception&) {
  }
  return std::nullopt;
}

// False: it was not to be measured.
Result<bool> measure_step(const RateOf& rate_of, SharingStep step, CardSharing& sharing) {
  const auto rate = rate_of(step.replicas, step.streams);
  const bool may_change = !rate.ok() && rate.error().code == ErrorCode::unavailable;
  if (!rate.ok() && (sharing.empty() || may_change)) return rate.error();
  if (!rate.ok() || !*rate) return false;
  step.tokens_per_s = **rate;
  sharing.push_back(step);
  return true;
}

Status double_while_it_gains(const RateOf& rate_of, std::uint32_t SharingStep::*number,
                             std::uint32_t most, CardSharing& sharing) {
  for (SharingStep step = sharing.front(); step.*number * 2 <= most; step = sharing.back()) {
    SharingStep twice = step;
    twice.*number *= 2;
    SHEAF_ASSIGN(const bool measured, measure_step(rate_of, twice, sharing));
    if (!measured || !gains(step, sharing.back())) break;
  }
  return {};
}

}  // namespace

Result<CardSharing> measure_sharing(const RateOf& rate_of, std::uint32_t streams,
                                    std::uint32_t streams_max) {
  CardSharing sharing;
  SHEAF_ASSIGN(const bool measured, measure_step(rate_of, {.streams = streams}, sharing));
  if (!measured) return Error{ErrorCode::too_large, "there is no room for one replica"};
  SHEAF_TRY(double_while_it_gains(rate_of, &SharingStep::streams, streams_max, sharing));
  SHEAF_TRY(double_while_it_gains(rate_of, &SharingStep::replicas, kSharingMax, sharing));
  return sharing;
}

SharingStep best_sharing(const CardSharing& sharing) {
  const SharingStep* best = &sharing.front();
  for (const SharingStep& step : sharing)
    if (&step != best && gains(*best, step)) best = &step;
  return *best;
}

SharingStep best_sharing(const CardSharing& sharing, std::uint32_t streams) {
  CardSharing those;
  std::ranges::copy_if(sharing, std::back_inserter(those),
                       [=](const SharingStep& step) { return step.streams == streams; });
  return those.empty() ? SharingStep{.streams = streams} : best_sharing(those);
}

std::string describe(const SharingStep& step) {
  std::string text =
      fmt::format("{} {}", step.replicas, step.replicas == 1 ? "replica" : "replicas");
  if (step.streams > 1) text += fmt::format(" on {} streams", step.streams);
  return text;
}

std::string describe(const CardSharing& sharing) {
  std::vector<std::string> steps;
  for (const SharingStep& step : sharing)
    steps.push_back(fmt::format("{}: {:.0f} tokens/s", describe(step), step.tokens_per_s));
  return fmt::format("{}", fmt::join(steps, ", "));
}

std::optional<CardSharing> kept_sharing(const Measured& of) {
  const auto kept = read_measured(of);
  return kept ? sharing_of(*kept) : std::nullopt;
}

Status keep_sharing(const Measured& of, const CardSharing& sharing) {
  json list = json::array();
  for (const SharingStep& step : sharing)
    list.push_back({{"replicas", step.replicas},
                    {"streams", step.streams},
                    {"tokens_per_s", step.tokens_per_s}});
  return write_measured(of, std::move(list));
}

std::map<std::string, CardSharing> kept_sharing_on_cards(const ModelSource& source) {
  std::map<std::string, CardSharing> all;
  for (const MeasuredOnCard& one : measured_on_cards(kSharing, source))
    if (auto sharing = sharing_of(one.result)) all.emplace(one.of.on, std::move(*sharing));
  return all;
}

}  // namespace sheaf::cli
