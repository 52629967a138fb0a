#include "core/balancer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace sheaf::core {
namespace {

// Work poured over the replicas like water into vessels: each has a floor (when it gets free) and a
// width (its rate). The surface is when all would be done at the earliest; a replica's share is the
// water above its floor. So equal idle replicas share evenly, a busy one gets the rest, and a slow
// one gets nothing if the others would be done before it had begun.
struct Vessel {
  std::size_t candidate;
  double floor;
  double width;
};

double surface(std::vector<Vessel> vessels, double work) {
  std::sort(vessels.begin(), vessels.end(),
            [](const Vessel& a, const Vessel& b) { return a.floor < b.floor; });
  double width = 0;
  double level = 0;
  for (std::size_t i = 0; i < vessels.size(); ++i) {
    width += vessels[i].width;
    if (i == 0) level = vessels[i].floor;
    level += work / width;
    if (i + 1 == vessels.size() || level <= vessels[i + 1].floor) break;
    work = (level - vessels[i + 1].floor) * width;
    level = vessels[i + 1].floor;
  }
  return level;
}

// The vessel with the lowest floor (the widest of equals) that has room and any water above it.
std::optional<Share> lowest_share(const std::vector<Vessel>& vessels, double work,
                                  std::span<const Candidate> ready) {
  const Vessel* best = nullptr;
  for (const Vessel& vessel : vessels) {
    if (!ready[vessel.candidate].room) continue;
    if (best == nullptr || vessel.floor < best->floor ||
        (vessel.floor == best->floor && vessel.width > best->width))
      best = &vessel;
  }
  if (best == nullptr) return std::nullopt;
  const double share = (surface(vessels, work) - best->floor) * best->width;
  if (share <= 0) return std::nullopt;
  return Share{best->candidate, std::max(static_cast<std::uint64_t>(std::ceil(share)),
                                         ready[best->candidate].split_minimum)};
}

// Earliest expected finish: the floor is when a replica gets free, the width its learnt rate.
class Predictive : public Balancer {
 public:
  std::optional<std::size_t> bind(std::span<const Candidate>, std::uint64_t) override {
    return std::nullopt;
  }
  std::optional<Share> serve(TimeUs now_us, std::uint64_t queued_tokens,
                             std::span<const Candidate> ready) override {
    std::vector<Vessel> vessels;
    for (std::size_t i = 0; i < ready.size(); ++i)
      vessels.push_back(
          {i, static_cast<double>(ready[i].free_us - now_us) / 1e6, ready[i].tokens_per_s});
    return lowest_share(vessels, static_cast<double>(queued_tokens), ready);
  }
};

// Fewest tokens outstanding: the floor is their number, all are equally wide.
class LeastLoaded : public Balancer {
 public:
  std::optional<std::size_t> bind(std::span<const Candidate>, std::uint64_t) override {
    return std::nullopt;
  }
  std::optional<Share> serve(TimeUs, std::uint64_t queued_tokens,
                             std::span<const Candidate> ready) override {
    std::vector<Vessel> vessels;
    for (std::size_t i = 0; i < ready.size(); ++i)
      vessels.push_back({i, static_cast<double>(ready[i].tokens_open), 1});
    return lowest_share(vessels, static_cast<double>(queued_tokens), ready);
  }
};

// What policies that bind at arrival have in common: a first choice of theirs, the next replica
// with room in its queue if that one is full, and evenness for what dead replicas left behind.
class BoundAtArrival : public Balancer {
 public:
  std::optional<std::size_t> bind(std::span<const Candidate> ready, std::uint64_t tokens) override {
    if (ready.empty()) return std::nullopt;
    const std::size_t first = first_choice(ready.size());
    for (std::size_t step = 0; step < ready.size(); ++step) {
      const std::size_t i = (first + step) % ready.size();
      if (has_queue_room(ready[i], tokens)) return i;
    }
    return std::nullopt;
  }
  std::optional<Share> serve(TimeUs now_us, std::uint64_t queued_tokens,
                             std::span<const Candidate> ready) override {
    return left_behind_.serve(now_us, queued_tokens, ready);
  }

 private:
  static bool has_queue_room(const Candidate& candidate, std::uint64_t tokens) {
    return candidate.tokens_bound == 0 ||
           candidate.tokens_bound + tokens <= candidate.tokens_bound_max;
  }
  virtual std::size_t first_choice(std::size_t count) = 0;

  LeastLoaded left_behind_;
};

class RoundRobin : public BoundAtArrival {
 private:
  std::size_t first_choice(std::size_t count) override { return turn_++ % count; }
  std::size_t turn_ = 0;
};

class RandomChoice : public BoundAtArrival {
 public:
  explicit RandomChoice(std::uint64_t seed) : random_(seed) {}

 private:
  std::size_t first_choice(std::size_t count) override { return random_.below(count); }
  Random random_;
};

struct PolicyName {
  std::string_view name;
  Policy policy;
};
constexpr std::array kPolicyNames = {
    PolicyName{"predictive", Policy::predictive},
    PolicyName{"least_loaded", Policy::least_loaded},
    PolicyName{"round_robin", Policy::round_robin},
    PolicyName{"random", Policy::random},
};

}  // namespace

std::unique_ptr<Balancer> make_balancer(Policy policy, std::uint64_t seed) {
  switch (policy) {
    case Policy::predictive:
      break;
    case Policy::least_loaded:
      return std::make_unique<LeastLoaded>();
    case Policy::round_robin:
      return std::make_unique<RoundRobin>();
    case Policy::random:
      return std::make_unique<RandomChoice>(seed);
  }
  return std::make_unique<Predictive>();
}

std::optional<Policy> parse_policy(std::string_view name) {
  for (const PolicyName& entry : kPolicyNames)
    if (entry.name == name) return entry.policy;
  return std::nullopt;
}

std::string_view name_of(Policy policy) {
  for (const PolicyName& entry : kPolicyNames)
    if (entry.policy == policy) return entry.name;
  return "unknown";
}

}  // namespace sheaf::core
