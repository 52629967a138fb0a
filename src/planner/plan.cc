#include "planner/plan.h"

#include <algorithm>

#include "planner/many_cards.h"
#include "planner/reasons.h"

namespace sheaf::planner {
namespace {

Sharing sharing_of(const PlannedSlice& slice, std::span<const Demand> demands) {
  if (slice.models.size() == 1) return Sharing::alone;
  const bool limited = std::ranges::any_of(
      slice.models, [&](std::size_t i) { return demands[i].isolation == Isolation::memory; });
  const double load = slice.compute_load + slice.bandwidth_load;  // as if nothing overlapped
  return !limited && load <= kRareLoad ? Sharing::time : Sharing::mps;
}

// Puts what the packed cards hold into one plan.
class Assembly {
 public:
  Assembly(const Machine& machine, std::span<const Demand> demands)
      : machine_(machine), demands_(demands) {
    plan_.models.resize(demands.size());
  }

  Plan run(const std::vector<PackedCard>& cards) {
    for (const PackedCard& card : cards) add_card(card);
    // One card that meets everything is as few as there can be.
    plan_.exact = cards.empty() || (cards.size() == 1 && cards.front().plan.exact &&
                                    (machine_.cards == 1 || is_good(cards.front().plan)));
    for (std::size_t i = 0; i < demands_.size(); ++i) judge(i);
    plan_.score.cards = static_cast<std::int64_t>(plan_.cuts.size());
    explain(machine_, demands_, plan_);
    return std::move(plan_);
  }

 private:
  void add_card(const PackedCard& card) {
    const bool used =
        std::ranges::any_of(card.plan.members, [](const auto& m) { return !m.empty(); });
    if (!used) return;
    std::vector<Demand> wanted;
    for (const Piece& piece : card.pieces) wanted.push_back(piece.demand);
    const Cut& cut = machine_.cuts[card.plan.cut];
    const CardOutcome outcome = outcome_of(cut, card.plan.members, wanted);
    for (std::size_t p = 0; p < cut.size(); ++p)
      if (!card.plan.members[p].empty()) add_slice(card, cut[p], p, outcome.slices[p]);
    for (std::size_t i = 0; i < card.pieces.size(); ++i) {
      PlannedModel& model = plan_.models[card.pieces[i].model];
      model.replicas += outcome.models[i].replicas;
      model.tokens_per_s += outcome.models[i].tokens_per_s;
      model.p99_ms = std::max(model.p99_ms, outcome.models[i].p99_ms);
    }
    plan_.cuts.push_back(card.plan.cut);
  }

  void add_slice(const PackedCard& card, const Part& part, std::size_t index,
                 const CardOutcome::Slice& outcome) {
    PlannedSlice slice;
    slice.card = static_cast<std::uint32_t>(plan_.cuts.size());
    slice.part = part;
    slice.usable_bytes = usable_bytes(part, machine_.memory_utilization);
    slice.used_bytes = outcome.used_bytes;
    slice.compute_load = outcome.compute_load;
    slice.bandwidth_load = outcome.bandwidth_load;
    for (const std::size_t piece : card.plan.members[index])
      slice.models.push_back(card.pieces[piece].model);
    std::ranges::sort(slice.models);
    slice.sharing = sharing_of(slice, demands_);
    const double fullness =
        static_cast<double>(slice.used_bytes) / static_cast<double>(slice.usable_bytes);
    plan_.score.fullness_ppm = std::max(plan_.score.fullness_ppm, ppm(fullness));
    ++plan_.score.slices;
    plan_.slices.push_back(std::move(slice));
  }

  void judge(std::size_t i) {
    PlannedModel& model = plan_.models[i];
    const CardOutcome::Model outcome{model.replicas, model.tokens_per_s, model.p99_ms};
    model.met = is_met(demands_[i], outcome);
    count_model(demands_[i], outcome, plan_.score);
  }

  const Machine& machine_;
  std::span<const Demand> demands_;
  Plan plan_;
};

}  // namespace

std::string_view name_of(Isolation isolation) {
  if (isolation == Isolation::none) return "none";
  return isolation == Isolation::memory ? "memory" : "full";
}

std::string_view name_of(Sharing sharing) {
  if (sharing == Sharing::alone) return "alone";
  return sharing == Sharing::mps ? "mps" : "time";
}

Plan make_plan(const Machine& machine, std::span<const Demand> demands) {
  return Assembly(machine, demands).run(pack_cards(machine, demands));
}

}  // namespace sheaf::planner
