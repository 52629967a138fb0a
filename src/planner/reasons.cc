#include "planner/reasons.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace sheaf::planner {
namespace {

std::string percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

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
  bool compute = false, bandwidth = false, limited = false;
  for (const std::size_t i : slice.models) {
    (is_compute_heavy(demands[i]) ? compute : bandwidth) = true;
    limited = limited || demands[i].isolation == Isolation::memory;
  }
  std::string why = compute && bandwidth
                        ? "one loads the arithmetic, the other the memory: side by side by MPS"
                        : "small models: MPS runs them side by side";
  if (limited) why += ", with a memory limit for each (isolation memory)";
  return why + fmt::format("; arithmetic {} busy, memory {}", percent(slice.compute_load),
                           percent(slice.bandwidth_load));
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
                       human_bytes(static_cast<double>(needed)), machine.card,
                       human_bytes(static_cast<double>(largest)));
  if (demand.isolation == Isolation::full)
    return fmt::format(
        "isolation full, and no slice of {} is left that it could have to itself; a "
        "further card",
        human_bytes(static_cast<double>(needed)));
  return fmt::format("no room for its {} beside the others; a further card, or int8 for some",
                     human_bytes(static_cast<double>(needed)));
}

std::string why_unmet(const Demand& demand, const PlannedModel& model) {
  if (model.tokens_per_s < demand.wanted_tokens_per_s)
    return fmt::format(
        "the best there is: {} of the wanted rate; a further card, or a faster dtype",
        percent(model.tokens_per_s / demand.wanted_tokens_per_s));
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
