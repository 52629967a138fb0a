#include "planner/one_card.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace sheaf::planner {
namespace {

bool are_alike(const Part& a, const Part& b) { return a.profile == b.profile; }

// Depth first over models, each given slices to itself and at most one to share, in all ways that
// differ by more than which of several parts alike is taken. Every component of Score can only grow
// as models are added, so a partial assignment that is not better than the best plan is left.
class CardSearch {
 public:
  CardSearch(const Machine& machine, std::span<const Demand> demands, std::size_t steps_max)
      : machine_(machine),
        demands_(demands),
        steps_max_(std::max<std::size_t>(steps_max / machine.cuts.size(), 1)),
        order_(demands.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, [&](std::size_t a, std::size_t b) {
      return load_of(demands[a]) > load_of(demands[b]);
    });
  }

  CardPlan run() {
    bool exact = true;
    for (cut_index_ = 0; cut_index_ < machine_.cuts.size(); ++cut_index_) {
      members_.assign(cut().size(), {});
      steps_ = 0;
      place(0);
      exact = exact && steps_ <= steps_max_;
    }
    best_->exact = exact;
    return std::move(*best_);
  }

 private:
  static double load_of(const Demand& demand) {
    return demand.wanted_tokens_per_s / rate_in(Part{}, demand);
  }

  const Cut& cut() const { return machine_.cuts[cut_index_]; }

  void place(std::size_t placed) {
    // The first way down is walked to its end, so that there always is a plan.
    if (best_ && ++steps_ > steps_max_) return;
    const Score score = score_of(placed);
    if (best_ && !(score < best_->score)) return;
    if (placed == order_.size()) {
      best_ = CardPlan{cut_index_, members_, score, true};
      return;
    }
    give_alone(placed, 0);
  }

  // Gives model order_[placed] none, one, two ... of the free parts from `part` on to itself. Who
  // has none yet tries that last: it leads nowhere good, and steps are counted.
  void give_alone(std::size_t placed, std::size_t part) {
    if (part == cut().size()) return give_shared(placed);
    const std::size_t model = order_[placed];
    const bool has_some = replicas_of(model) > 0;
    std::size_t behind = part;  // the first part of another kind
    while (behind < cut().size() && are_alike(cut()[part], cut()[behind])) ++behind;
    if (has_some) give_alone(placed, behind);
    std::vector<std::size_t> taken;
    for (std::size_t p = part; p < behind; ++p) {
      if (!members_[p].empty() || !fits(p, model) || !gains_by_another(model)) continue;
      members_[p].push_back(model);
      taken.push_back(p);
      give_alone(placed, behind);
    }
    for (const std::size_t p : taken) members_[p].pop_back();
    if (!has_some) give_alone(placed, behind);
  }

  std::size_t replicas_of(std::size_t model) const {
    return static_cast<std::size_t>(std::ranges::count_if(members_, [&](const auto& of_part) {
      return std::ranges::find(of_part, model) != of_part.end();
    }));
  }

  // One that wants no rate gains nothing by a second replica.
  bool gains_by_another(std::size_t model) const {
    return demands_[model].wanted_tokens_per_s > 0 || replicas_of(model) == 0;
  }

  // Where fewest are first, and not at all where it has slices to itself.
  void give_shared(std::size_t placed) {
    const std::size_t model = order_[placed];
    const bool has_some = replicas_of(model) > 0;
    if (has_some) place(placed + 1);
    if (may_share(model))
      for (std::size_t sharers = 1; sharers < kSharersMax; ++sharers)
        for (std::size_t p = 0; p < cut().size(); ++p) {
          if (members_[p].size() != sharers || !takes(p, model)) continue;
          members_[p].push_back(model);
          place(placed + 1);
          members_[p].pop_back();
        }
    if (!has_some) place(placed + 1);
  }

  // A slice to itself that another model joins later is shared by then. So a model may join only if
  // neither it nor the one that it joins comes to share two slices.
  bool may_share(std::size_t model) const {
    return demands_[model].isolation != Isolation::full && !shares(model) &&
           gains_by_another(model);
  }

  bool shares(std::size_t model) const {
    return std::ranges::any_of(members_, [&](const auto& of_part) {
      return of_part.size() > 1 && std::ranges::find(of_part, model) != of_part.end();
    });
  }

  bool takes(std::size_t part, std::size_t model) const {
    const auto& there = members_[part];
    if (!fits(part, model)) return false;
    if (std::ranges::find(there, model) != there.end()) return false;
    return std::ranges::all_of(there, [&](std::size_t other) {
      return demands_[other].isolation != Isolation::full && (there.size() > 1 || !shares(other));
    });
  }

  bool fits(std::size_t part, std::size_t model) const {
    std::uint64_t bytes = demands_[model].weights_bytes + demands_[model].replica_bytes;
    for (const std::size_t other : members_[part])
      bytes += demands_[other].weights_bytes + demands_[other].replica_bytes;
    return bytes <= usable_bytes(cut()[part], machine_.memory_utilization);
  }

  // Of the first `placed` models; the others as if they were nowhere and wanted nothing.
  Score score_of(std::size_t placed) const {
    const CardOutcome outcome = outcome_of(cut(), members_, demands_);
    Score score;
    for (std::size_t rank = 0; rank < placed; ++rank)
      count_model(demands_[order_[rank]], outcome.models[order_[rank]], score);
    for (std::size_t p = 0; p < cut().size(); ++p) {
      if (members_[p].empty()) continue;
      const double usable =
          static_cast<double>(usable_bytes(cut()[p], machine_.memory_utilization));
      ++score.slices;
      score.fullness_ppm = std::max(
          score.fullness_ppm, ppm(static_cast<double>(outcome.slices[p].used_bytes) / usable));
    }
    score.cards = score.slices > 0 ? 1 : 0;
    return score;
  }

  const Machine& machine_;
  std::span<const Demand> demands_;
  const std::size_t steps_max_;     // a cut
  std::vector<std::size_t> order_;  // heaviest first
  std::size_t cut_index_ = 0;
  Members members_;
  std::size_t steps_ = 0;
  std::optional<CardPlan> best_;
};

}  // namespace

CardPlan plan_card(const Machine& machine, std::span<const Demand> demands, std::size_t steps_max) {
  return CardSearch(machine, demands, steps_max).run();
}

}  // namespace sheaf::planner
