#pragma once

#include <span>
#include <vector>

#include "planner/plan.h"

namespace sheaf::planner {

// Who runs where on one card: for each part of a cut the models that have a replica there, as
// indexes of demands.
using Members = std::vector<std::vector<std::size_t>>;

struct CardPlan {
  std::size_t cut = 0;
  Members members;
  Score score;  // of this card alone
  bool exact = true;
};

// The best for `demands` on one of machine's cards. None of them: the card, not used. Looks at
// about `steps_max` partial assignments, a share of them of each cut; then `exact` is false.
CardPlan plan_card(const Machine& machine, std::span<const Demand> demands, std::size_t steps_max);

// What becomes of models on one card.
struct CardOutcome {
  struct Slice {
    std::uint64_t used_bytes = 0;
    double compute_load = 0;
    double bandwidth_load = 0;
    double limit = 1;  // of the load
  };
  struct Model {
    std::uint32_t replicas = 0;
    double tokens_per_s = 0;
    double p99_ms = 0;
  };
  std::vector<Slice> slices;  // as the cut's parts
  std::vector<Model> models;  // as the demands
};
CardOutcome outcome_of(const Cut& cut, const Members& members, std::span<const Demand> demands);

// Rate of a model in a part that it has to itself.
double rate_in(const Part& part, const Demand& demand);
std::uint64_t usable_bytes(const Part& part, double memory_utilization);
bool is_late(const Demand& demand, double p99_ms);
bool is_met(const Demand& demand, const CardOutcome::Model& model);
// Adds what becomes of one model to a score.
void count_model(const Demand& demand, const CardOutcome::Model& model, Score& score);
std::int64_t ppm(double share);  // at most a million wholes

}  // namespace sheaf::planner
