#include "planner/reasons.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/memory.h"

namespace sheaf::planner {
namespace {

// Less of arithmetic or traffic is nothing that a neighbour would notice.
constexpr double kNotableLoad = 0.25;
// Of a wanted rate: less is not to be had by a further card.
constexpr double kHopelessShare = 0.01;

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

// Of what a slice has.
std::string load_text(double load) {
  return load <= 1 ? fmt::format("{} busy", percent(load))
                   : fmt::format("wanted {:.1f} times over", load);
}

bool is_compute_heavy(const Demand& demand) {
  return demand.compute_tokens_per_s < demand.bandwidth_tokens_per_s;
}

// Why a model has a slice to itself.
std::string why_alone(const PlannedSlice& slice, const Demand& demand) {
  const bool whole = slice.part.profile.empty();
  if (demand.isolation == Isolation::full)
    return whole ? "isolation full: a card of its own"
                 : "isolation full: a MIG slice has memory, compute and faults of its own";
  if (demand.isolation == Isolation::memory && !whole)
    return "isolation memory: what a MIG slice holds no neighbour can take";
  if (whole) return "one process that batches uses the whole card";
  if (demand.wanted_tokens_per_s == 0) return "the slice that is left over suffices";
  return fmt::format("busy for {} of its time: a slice to itself needs no sharing",
                     percent(std::max(slice.compute_load, slice.bandwidth_load)));
}

std::string why_shared(const PlannedSlice& slice, std::span<const Demand> demands) {
  if (slice.sharing == Sharing::time)
    return "rarely used: they take turns, which needs no daemon; sleeping models would do too";
  const auto any = [&](auto is_so) {
    return std::ranges::any_of(slice.models, [&](std::size_t i) { return is_so(demands[i]); });
  };
  const auto heavy = [](bool on_compute) {
    return [on_compute](const Demand& demand) {
      return demand.wanted_tokens_per_s > 0 && is_compute_heavy(demand) == on_compute;
    };
  };
  const bool complementary = std::min(slice.compute_load, slice.bandwidth_load) >= kNotableLoad &&
                             any(heavy(true)) && any(heavy(false));
  std::string why = complementary
                        ? "one loads the arithmetic, the other the memory: side by side by MPS"
                        : "small models: MPS runs them side by side";
  if (any([](const Demand& demand) { return demand.isolation == Isolation::memory; }))
    why += ", with a memory limit for each (isolation memory)";
  return why + fmt::format("; arithmetic {}, memory {}", load_text(slice.compute_load),
                           load_text(slice.bandwidth_load));
}

// What stands in the way of a model that has no replica.
std::string why_nowhere(const Machine& machine, const Demand& demand) {
  std::uint64_t largest = 0;
  for (const Cut& cut : machine.cuts)
    for (const Part& part : cut)
      largest =
          std::max(largest, static_cast<std::uint64_t>(static_cast<double>(part.memory_bytes) *
                                                       machine.memory_utilization));
  const std::uint64_t needed = demand.weights_bytes + demand.replica_bytes;
  if (needed > largest)
    return fmt::format("needs {}, and a whole {} gives {}; int8, a larger card, or several ranks",
                       gib_text(needed), machine.card, gib_text(largest));
  if (demand.isolation == Isolation::full)
    return fmt::format(
        "isolation full, and no slice of {} is left that it could have to itself; a "
        "further card",
        gib_text(needed));
  return fmt::format("no room for its {} beside the others; a further card, or int8 for some",
                     gib_text(needed));
}

std::string why_unmet(const Demand& demand, const PlannedModel& model) {
  const double share =
      demand.wanted_tokens_per_s > 0 ? model.tokens_per_s / demand.wanted_tokens_per_s : 1;
  if (share < kHopelessShare)
    return fmt::format("the target needs {:.0f} times what it can have here", 1 / share);
  if (model.tokens_per_s < demand.wanted_tokens_per_s)
    return fmt::format(
        "the best there is: {} of the wanted rate; a further card, or a faster dtype",
        percent(share));
  return fmt::format(
      "the best there is: p99 about {:.0f} ms of {:.0f} wanted; smaller batches, or "
      "a slice to itself",
      model.p99_ms, demand.p99_ms);
}

std::string why_met(const Demand& demand, const PlannedModel& model) {
  std::string text;
  if (demand.wanted_tokens_per_s > 0)
    text = fmt::format("{:.2f} times the wanted rate",
                       model.tokens_per_s / demand.wanted_tokens_per_s);
  if (demand.p99_ms > 0)
    text += fmt::format("{}p99 about {:.0f} ms of {:.0f}", text.empty() ? "" : ", ", model.p99_ms,
                        demand.p99_ms);
  return text.empty() ? "no rate is wanted: one replica" : text;
}

}  // namespace

void explain(const Machine& machine, std::span<const Demand> demands, Plan& plan) {
  for (PlannedSlice& slice : plan.slices)
    slice.reason = slice.sharing == Sharing::alone ? why_alone(slice, demands[slice.models.front()])
                                                   : why_shared(slice, demands);
  for (std::size_t i = 0; i < demands.size(); ++i) {
    PlannedModel& model = plan.models[i];
    if (model.replicas == 0)
      model.reason = why_nowhere(machine, demands[i]);
    else
      model.reason = model.met ? why_met(demands[i], model) : why_unmet(demands[i], model);
  }
}

}  // namespace sheaf::planner
