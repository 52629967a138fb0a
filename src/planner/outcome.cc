#include <algorithm>
#include <cmath>

#include "planner/one_card.h"

namespace sheaf::planner {
namespace {

// Rates are sums of quotients: what differs by so little is the same.
constexpr double kSame = 1e-9;

double batch_ms(const Part& part, const Demand& demand) {
  const double rate_per_ms = rate_in(part, demand) / 1e3;
  if (demand.batch_tokens > 0) return demand.batch_tokens / rate_per_ms;
  return std::max(kBatchMs, demand.text_tokens / rate_per_ms);
}

double limit_of(const std::vector<std::size_t>& members, std::span<const Demand> demands) {
  const bool punctual =
      std::ranges::any_of(members, [&](std::size_t i) { return demands[i].p99_ms > 0; });
  return (members.size() > 1 ? kSharedLimit : 1.0) * (punctual ? kPunctualLimit : 1.0);
}

// Fills the slices and models of one outcome.
class Reckoning {
 public:
  Reckoning(const Cut& cut, const Members& members, std::span<const Demand> demands)
      : cut_(cut), members_(members), demands_(demands), rest_(demands.size()) {
    outcome_.slices.resize(cut.size());
    outcome_.models.resize(demands.size());
  }

  CardOutcome run() {
    for (std::size_t part = 0; part < cut_.size(); ++part) add_slice(part);
    for (std::size_t part = 0; part < cut_.size(); ++part)
      if (members_[part].size() == 1)
        outcome_.models[members_[part].front()].tokens_per_s += capacity(part);
    for (std::size_t i = 0; i < demands_.size(); ++i) rest_[i] = rest_of(i);
    for (std::size_t part = 0; part < cut_.size(); ++part)
      if (members_[part].size() == 1) load_alone(part, members_[part].front());
    for (std::size_t part = 0; part < cut_.size(); ++part)
      if (members_[part].size() > 1) add_shared(part);
    return std::move(outcome_);
  }

 private:
  void add_slice(std::size_t part) {
    CardOutcome::Slice& slice = outcome_.slices[part];
    slice.limit = limit_of(members_[part], demands_);
    double batches_ms = 0;
    for (const std::size_t i : members_[part]) {
      slice.used_bytes += demands_[i].weights_bytes + demands_[i].replica_bytes;
      batches_ms += batch_ms(cut_[part], demands_[i]);
    }
    for (const std::size_t i : members_[part]) {
      CardOutcome::Model& model = outcome_.models[i];
      ++model.replicas;
      model.p99_ms = std::max(model.p99_ms, 2 * batches_ms);
    }
  }

  // Of a slice that one model has to itself.
  double capacity(std::size_t part) const {
    return rate_in(cut_[part], demands_[members_[part].front()]) * outcome_.slices[part].limit;
  }

  // What the slices that it has to itself leave to one that it shares.
  double rest_of(std::size_t i) const {
    const double wanted = demands_[i].wanted_tokens_per_s;
    const double rest = wanted - outcome_.models[i].tokens_per_s;
    return rest < kSame * wanted ? 0 : rest;
  }

  // Such slices are busy alike.
  void load_alone(std::size_t part, std::size_t i) {
    const double own = outcome_.models[i].tokens_per_s;
    add_load(part, i, capacity(part) * std::min(1.0, demands_[i].wanted_tokens_per_s / own));
  }

  void add_load(std::size_t part, std::size_t i, double tokens_per_s) {
    const Demand& demand = demands_[i];
    CardOutcome::Slice& slice = outcome_.slices[part];
    slice.compute_load += tokens_per_s / (demand.compute_tokens_per_s * cut_[part].compute);
    slice.bandwidth_load += tokens_per_s / (demand.bandwidth_tokens_per_s * cut_[part].bandwidth);
  }

  void add_shared(std::size_t part) {
    std::size_t idle = 0;  // that want no rate and get what is left
    for (const std::size_t i : members_[part]) {
      add_load(part, i, rest_[i]);
      if (rest_[i] == 0) ++idle;
    }
    const CardOutcome::Slice& slice = outcome_.slices[part];
    const double load = std::max(slice.compute_load, slice.bandwidth_load);
    const double left = std::max(0.0, slice.limit - load);
    for (const std::size_t i : members_[part]) {
      const double rate = rate_in(cut_[part], demands_[i]);
      outcome_.models[i].tokens_per_s +=
          rest_[i] > 0 ? rest_[i] * slice.limit / load : rate * left / static_cast<double>(idle);
    }
  }

  const Cut& cut_;
  const Members& members_;
  std::span<const Demand> demands_;
  std::vector<double> rest_;  // of each model's wanted rate, for a slice that it shares
  CardOutcome outcome_;
};

}  // namespace

double rate_in(const Part& part, const Demand& demand) {
  return std::min(demand.compute_tokens_per_s * part.compute,
                  demand.bandwidth_tokens_per_s * part.bandwidth);
}

std::uint64_t usable_bytes(const Part& part, double memory_utilization) {
  return static_cast<std::uint64_t>(static_cast<double>(part.memory_bytes) * memory_utilization);
}

bool is_late(const Demand& demand, double p99_ms) {
  return demand.p99_ms > 0 && p99_ms > demand.p99_ms * (1 + kSame);
}

bool is_met(const Demand& demand, const CardOutcome::Model& model) {
  if (model.replicas == 0) return false;
  return model.tokens_per_s >= demand.wanted_tokens_per_s * (1 - kSame) &&
         !is_late(demand, model.p99_ms);
}

void count_model(const Demand& demand, const CardOutcome::Model& model, Score& score) {
  if (model.replicas == 0) {
    ++score.unserved;
    return;
  }
  if (!is_met(demand, model)) ++score.unmet;
  if (demand.wanted_tokens_per_s == 0) return;
  const double part = model.tokens_per_s / demand.wanted_tokens_per_s;
  score.missing_ppm += ppm(std::max(0.0, 1 - part));
  score.tightness_ppm = std::max(score.tightness_ppm, ppm(1 / part));
}

std::int64_t ppm(double share) { return std::llround(std::min(share, 1e6) * 1e6); }

CardOutcome outcome_of(const Cut& cut, const Members& members, std::span<const Demand> demands) {
  return Reckoning(cut, members, demands).run();
}

}  // namespace sheaf::planner
