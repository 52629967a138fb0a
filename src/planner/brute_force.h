#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "planner/plan.h"

// For the test of plans: the same question answered by trying everything, and an assignment judged
// by rules written down once more. Shares nothing with the planner but the types of plan.h.
namespace sheaf::planner::brute_force {

// Which models are in each part of a cut: bit i is model i.
using Masks = std::vector<unsigned>;

// unserved, unmet, missing rate, cards, wanted / expected, slices, used / usable memory.
using Judgement = std::array<double, 7>;

// Whether a is better than b by more than rounding.
inline bool is_better(const Judgement& a, const Judgement& b) {
  constexpr double kRounding = 3e-6;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] < b[i] - kRounding) return true;
    if (a[i] > b[i] + kRounding) return false;
  }
  return false;
}

class Judge {
 public:
  Judge(const Cut& cut, double utilization, std::span<const Demand> demands)
      : cut_(cut), utilization_(utilization), demands_(demands) {}

  bool is_allowed(const Masks& masks) const {
    std::vector<int> times_shared(demands_.size(), 0);
    for (std::size_t p = 0; p < cut_.size(); ++p) {
      double bytes = 0;
      const int sharers = __builtin_popcount(masks[p]);
      if (sharers > 6) return false;
      for (std::size_t i = 0; i < demands_.size(); ++i) {
        if (!in(masks[p], i)) continue;
        bytes += static_cast<double>(demands_[i].weights_bytes + demands_[i].replica_bytes);
        if (sharers > 1 && (demands_[i].isolation == Isolation::full || ++times_shared[i] > 1))
          return false;
      }
      if (bytes > static_cast<double>(cut_[p].memory_bytes) * utilization_) return false;
    }
    return true;
  }

  Judgement judge(const Masks& masks) const {
    Judgement result{};
    for (std::size_t i = 0; i < demands_.size(); ++i) {
      const Fate fate = fate_of(masks, i);
      if (fate.replicas == 0) {
        result[0] += 1;
        continue;
      }
      const double wanted = demands_[i].wanted_tokens_per_s;
      const bool slow = fate.rate < wanted * (1 - 1e-9);
      const bool late = demands_[i].p99_ms > 0 && fate.p99_ms > demands_[i].p99_ms * (1 + 1e-9);
      if (slow || late) result[1] += 1;
      if (wanted == 0) continue;
      result[2] += std::max(0.0, 1 - fate.rate / wanted);
      result[4] = std::max(result[4], wanted / fate.rate);
    }
    for (std::size_t p = 0; p < cut_.size(); ++p) {
      if (masks[p] == 0) continue;
      result[3] = 1;
      result[5] += 1;
      double bytes = 0;
      for (std::size_t i = 0; i < demands_.size(); ++i)
        if (in(masks[p], i))
          bytes += static_cast<double>(demands_[i].weights_bytes + demands_[i].replica_bytes);
      result[6] =
          std::max(result[6], bytes / (static_cast<double>(cut_[p].memory_bytes) * utilization_));
    }
    return result;
  }

 private:
  struct Fate {
    int replicas = 0;
    double rate = 0;
    double p99_ms = 0;
  };

  static bool in(unsigned mask, std::size_t i) { return (mask >> i & 1) != 0; }

  double rate(std::size_t p, std::size_t i) const {
    return std::min(cut_[p].compute * demands_[i].compute_tokens_per_s,
                    cut_[p].bandwidth * demands_[i].bandwidth_tokens_per_s);
  }

  double limit(unsigned mask) const {
    double limit = __builtin_popcount(mask) > 1 ? 0.9 : 1.0;
    for (std::size_t i = 0; i < demands_.size(); ++i)
      if (in(mask, i) && demands_[i].p99_ms > 0) return limit * 0.8;
    return limit;
  }

  double batch_ms(std::size_t p, std::size_t i) const {
    if (demands_[i].batch_tokens > 0) return 1e3 * demands_[i].batch_tokens / rate(p, i);
    return std::max(10.0, 1e3 * demands_[i].text_tokens / rate(p, i));
  }

  // What model i gets from the parts that it has to itself.
  double own_rate(const Masks& masks, std::size_t i) const {
    double sum = 0;
    for (std::size_t p = 0; p < cut_.size(); ++p)
      if (masks[p] == 1u << i) sum += rate(p, i) * limit(masks[p]);
    return sum;
  }

  double rest(const Masks& masks, std::size_t i) const {
    const double wanted = demands_[i].wanted_tokens_per_s;
    const double left = wanted - own_rate(masks, i);
    return left < 1e-9 * wanted ? 0 : left;
  }

  Fate fate_of(const Masks& masks, std::size_t i) const {
    Fate fate;
    fate.rate = own_rate(masks, i);
    for (std::size_t p = 0; p < cut_.size(); ++p) {
      if (!in(masks[p], i)) continue;
      ++fate.replicas;
      double wait_ms = 0, arithmetic = 0, traffic = 0;
      int idle = 0;
      for (std::size_t j = 0; j < demands_.size(); ++j) {
        if (!in(masks[p], j)) continue;
        wait_ms += 2 * batch_ms(p, j);
        const double asked = rest(masks, j);
        if (asked == 0) ++idle;
        arithmetic += asked / (demands_[j].compute_tokens_per_s * cut_[p].compute);
        traffic += asked / (demands_[j].bandwidth_tokens_per_s * cut_[p].bandwidth);
      }
      fate.p99_ms = std::max(fate.p99_ms, wait_ms);
      if (masks[p] == 1u << i) continue;
      const double load = std::max(arithmetic, traffic);
      const double asked = rest(masks, i);
      fate.rate += asked > 0 ? asked * limit(masks[p]) / load
                             : rate(p, i) * std::max(0.0, limit(masks[p]) - load) / idle;
    }
    return fate;
  }

  const Cut& cut_;
  double utilization_;
  std::span<const Demand> demands_;
};

// The best judgement of all assignments to all cuts of one card.
class Search {
 public:
  Search(const Machine& machine, std::span<const Demand> demands)
      : machine_(machine), demands_(demands) {}

  Judgement best() {
    for (const Cut& cut : machine_.cuts) {
      Masks masks(cut.size(), 0);
      fill(cut, masks, 0);
    }
    return best_;
  }

 private:
  // Parts alike that stand side by side are filled in falling order: their names do not matter.
  void fill(const Cut& cut, Masks& masks, std::size_t part) {
    if (part == cut.size()) {
      const Judge judge(cut, machine_.memory_utilization, demands_);
      if (!judge.is_allowed(masks)) return;
      const Judgement judgement = judge.judge(masks);
      if (!found_ || is_better(judgement, best_)) best_ = judgement;
      found_ = true;
      return;
    }
    const bool alike = part > 0 && cut[part].profile == cut[part - 1].profile;
    const unsigned end = alike ? masks[part - 1] + 1 : 1u << demands_.size();
    for (masks[part] = 0; masks[part] < end; ++masks[part]) fill(cut, masks, part + 1);
    masks[part] = 0;
  }

  const Machine& machine_;
  std::span<const Demand> demands_;
  bool found_ = false;
  Judgement best_{};
};

}  // namespace sheaf::planner::brute_force
