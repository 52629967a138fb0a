#include "planner/cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "planner/one_card.h"

namespace sheaf::planner {
namespace {

constexpr double kAlike = 1e-9;

double limit_for(const Demand& demand) { return demand.p99_ms > 0 ? kPunctualLimit : 1.0; }

class CoreSplit {
 public:
  CoreSplit(const CoreMachine& machine, std::span<const Demand> demands)
      : machine_(machine), demands_(demands), cores_(demands.size(), 1) {}

  // Of each model; at least one.
  std::vector<std::uint32_t> run() {
    free_ = machine_.cores - static_cast<std::uint32_t>(demands_.size());
    give_what_targets_need();
    while (free_ > 0) {
      ++cores_[neediest()];
      --free_;
    }
    return std::move(cores_);
  }

 private:
  double expected(std::size_t i) const {
    return rate_in(Part{}, demands_[i]) * limit_for(demands_[i]) * cores_[i] / machine_.cores;
  }

  std::uint32_t needed(std::size_t i) const {
    const double each = rate_in(Part{}, demands_[i]) * limit_for(demands_[i]) / machine_.cores;
    const double cores = demands_[i].wanted_tokens_per_s / each;
    return static_cast<std::uint32_t>(std::clamp(std::ceil(cores * (1 - kAlike)), 1.0, 1e9));
  }

  // The modest ones first: so the most of them are met.
  void give_what_targets_need() {
    std::vector<std::size_t> order(demands_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [this](std::size_t i) { return needed(i); });
    for (const std::size_t i : order) {
      const std::uint32_t more = needed(i) - 1;
      if (more > free_) return;
      cores_[i] += more;
      free_ -= more;
    }
  }

  // Whose target is nearest its limit, or furthest beyond; without any targets who has fewest.
  std::size_t neediest() const {
    const auto tightness = [this](std::size_t i) {
      return demands_[i].wanted_tokens_per_s / expected(i);
    };
    std::size_t worst = 0;
    for (std::size_t i = 1; i < demands_.size(); ++i) {
      const bool tighter = tightness(i) > tightness(worst);
      const bool fewer = tightness(i) == tightness(worst) && cores_[i] < cores_[worst];
      if (tighter || fewer) worst = i;
    }
    return worst;
  }

  const CoreMachine& machine_;
  std::span<const Demand> demands_;
  std::vector<std::uint32_t> cores_;
  std::uint32_t free_ = 0;
};

double batch_ms_on_cores(const Demand& demand, double tokens_per_s) {
  const double tokens =
      demand.batch_tokens > 0
          ? demand.batch_tokens
          : std::max<double>(demand.text_tokens, tokens_per_s * kCoresBatchMs / 1e3);
  return tokens / tokens_per_s * 1e3;
}

CoreShare own_cores(const CoreMachine& machine, const Demand& demand, std::uint32_t cores) {
  CoreShare share;
  share.cores = cores;
  share.replicas = (cores + kCoresPerReplica - 1) / kCoresPerReplica;
  const double rate = rate_in(Part{}, demand) * cores / machine.cores;
  share.tokens_per_s = rate * limit_for(demand);
  share.replica_tokens_per_s = rate / share.replicas;
  share.p99_ms = 2 * batch_ms_on_cores(demand, share.replica_tokens_per_s);
  return share;
}

// All on all cores, each for an equal part of the time.
std::vector<CoreShare> in_turns(std::span<const Demand> demands) {
  double batches_ms = 0;
  for (const Demand& demand : demands)
    batches_ms += batch_ms_on_cores(demand, rate_in(Part{}, demand));
  std::vector<CoreShare> shares;
  for (const Demand& demand : demands) {
    CoreShare share;
    share.replicas = 1;
    share.replica_tokens_per_s = rate_in(Part{}, demand);
    share.tokens_per_s =
        share.replica_tokens_per_s * limit_for(demand) / static_cast<double>(demands.size());
    share.p99_ms = 2 * batches_ms;
    shares.push_back(share);
  }
  return shares;
}

// What would meet a p99 that is missed, if anything. A batch holds a whole text at least.
std::string remedy_of(const Demand& demand, const CoreShare& share) {
  const double rate_per_ms = share.replica_tokens_per_s / 1e3;
  const double others_ms =
      share.cores > 0 ? 0
                      : share.p99_ms / 2 - batch_ms_on_cores(demand, share.replica_tokens_per_s);
  const double tokens = std::floor((demand.p99_ms / 2 - others_ms) * rate_per_ms);
  const double text = std::max(demand.text_tokens, 1u);
  if (tokens >= text) return fmt::format("max_batch_tokens {:.0f} would meet it", tokens);
  const std::string none =
      fmt::format("no batch would meet it, since a text of {:.0f} tokens takes {:.0f} ms{}", text,
                  text / rate_per_ms, others_ms > 0 ? " beside the others' batches" : "");
  return tokens < 1 ? none
                    : none + fmt::format("; max_length and max_batch_tokens {:.0f} would", tokens);
}

std::string reason_of(const Demand& demand, const CoreShare& share) {
  if (share.cores == 0 && demand.isolation == Isolation::full)
    return "isolation full cannot be had: there are more models than cores";
  std::string where =
      share.cores == 0 ? "more models than cores: they take turns" : "cores of its own";
  if (demand.wanted_tokens_per_s > 0)
    where += fmt::format("; {:.2f} times the wanted rate",
                         share.tokens_per_s / demand.wanted_tokens_per_s);
  if (demand.p99_ms > 0)
    where += fmt::format("; p99 about {:.0f} ms of {:.0f}", share.p99_ms, demand.p99_ms);
  if (is_late(demand, share.p99_ms)) where += ": " + remedy_of(demand, share);
  return where;
}

}  // namespace

CorePlan plan_cores(const CoreMachine& machine, std::span<const Demand> demands) {
  CorePlan plan;
  plan.usable_bytes = usable_bytes({"", machine.memory_bytes, 1, 1}, machine.memory_utilization);
  if (demands.size() > machine.cores) {
    plan.models = in_turns(demands);
  } else if (!demands.empty()) {
    const std::vector<std::uint32_t> cores = CoreSplit(machine, demands).run();
    for (std::size_t i = 0; i < demands.size(); ++i)
      plan.models.push_back(own_cores(machine, demands[i], cores[i]));
  }
  for (std::size_t i = 0; i < demands.size(); ++i) {
    CoreShare& share = plan.models[i];
    plan.used_bytes += demands[i].weights_bytes + share.replicas * demands[i].replica_bytes;
    share.met = is_met(demands[i], {share.replicas, share.tokens_per_s, share.p99_ms}) &&
                (share.cores > 0 || demands[i].isolation != Isolation::full);
    share.reason = reason_of(demands[i], share);
  }
  return plan;
}

}  // namespace sheaf::planner
