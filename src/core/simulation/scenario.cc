#include "core/simulation/scenario.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/random.h"

namespace sheaf::core {
namespace {

ModelOptions random_model(Random& random) {
  constexpr std::array policies = {Policy::predictive, Policy::predictive, Policy::least_loaded,
                                   Policy::round_robin, Policy::random};
  ModelOptions model;
  model.replicas = static_cast<std::uint32_t>(random.between(1, 4));
  model.policy = policies[random.below(policies.size())];
  model.max_length = random.chance(0.5) ? 256 : 512;
  model.max_batch_tokens = random.chance(0.3) ? 1'024 : 0;
  model.target_batch_us = random.chance(0.3) ? 10'000 : 100'000;
  model.queue_tokens_max = random.chance(0.4) ? 6'000 : 0;
  return model;
}

Scenario::Machine random_machine(Random& random, const ModelOptions& model) {
  Scenario::Machine machine;
  machine.tokens_per_s = static_cast<double>(random.between(3'000, 60'000));
  machine.overhead_us = random.between(50, 1'000);
  machine.limits.max_batch_tokens = random.chance(0.5) ? 16'384 : model.max_length;
  machine.limits.max_batch_items = random.chance(0.2) ? 4 : 512;
  if (random.chance(0.3)) machine.limits.lanes = static_cast<std::uint32_t>(random.between(2, 3));
  if (random.chance(0.2)) machine.memory_tokens = model.max_length + random.below(1'024);
  machine.refuses_when_exhausted = random.chance(0.5);
  return machine;
}

std::uint32_t random_item_count(Random& random) {
  if (random.chance(0.5)) return 1;
  return static_cast<std::uint32_t>(random.chance(0.9) ? random.between(2, 12)
                                                       : random.between(20, 80));
}

TimeUs random_patience(Random& random) {
  if (random.chance(0.7)) return 3'600 * kSecond;  // longer than any run: must be answered
  return random.between(1'000, 4 * kSecond);
}

Scenario::Text random_text(Random& random, double poison) {
  constexpr std::array kinds = {Scenario::Text::crashes, Scenario::Text::hangs,
                                Scenario::Text::exhausts};
  return random.chance(poison) ? kinds[random.below(kinds.size())] : Scenario::Text::innocent;
}

Scenario::Arrival random_arrival(Random& random, const CoreOptions& core, RequestId id,
                                 TimeUs at_us, double poison) {
  Scenario::Arrival arrival;
  arrival.at_us = at_us;
  arrival.request.id = id;
  arrival.request.model = static_cast<ModelId>(random.below(core.models.size()));
  arrival.request.tenant = static_cast<TenantId>(random.below(3));
  if (random.chance(0.3)) arrival.request.stream = 1 + random.below(3);
  arrival.request.deadline_us = at_us + random_patience(random);
  const std::uint32_t items = random_item_count(random);
  const std::uint32_t longest = core.models[arrival.request.model].max_length;
  for (std::uint32_t i = 0; i < items; ++i) {
    const std::uint32_t bound = random.chance(0.8) ? 80 : longest;
    arrival.request.item_tokens.push_back(static_cast<std::uint32_t>(random.between(1, bound)));
    arrival.texts.push_back(random_text(random, poison));
  }
  if (random.chance(0.08)) arrival.cancel_us = at_us + random.between(0, kSecond);
  return arrival;
}

void add_arrivals(Random& random, Scenario& scenario, TimeUs duration_us) {
  const double poison = random.chance(0.4) ? 0.01 : 0;
  const auto requests = static_cast<RequestId>(random.between(20, 150));
  std::vector<TimeUs> times;
  while (times.size() < requests) {
    const TimeUs at_us = random.between(0, duration_us);
    const std::int64_t burst = random.chance(0.1) ? random.between(5, 40) : 1;
    for (std::int64_t i = 0; i < burst; ++i) times.push_back(at_us);
  }
  std::sort(times.begin(), times.end());
  for (const TimeUs at_us : times) {
    const RequestId id = scenario.arrivals.size() + 1;
    scenario.arrivals.push_back(random_arrival(random, scenario.core, id, at_us, poison));
  }
}

void add_faults(Random& random, Scenario& scenario, TimeUs duration_us) {
  if (random.chance(0.2)) return;  // fair weather
  const std::int64_t faults = random.between(1, 12);
  for (std::int64_t i = 0; i < faults; ++i) {
    const auto kind = static_cast<Scenario::FaultKind>(random.below(9));
    const auto replica = static_cast<ReplicaId>(random.below(scenario.machines.size()));
    scenario.faults.push_back({random.between(0, duration_us), kind, replica});
  }
  std::sort(scenario.faults.begin(), scenario.faults.end(),
            [](const auto& a, const auto& b) { return a.at_us < b.at_us; });
  scenario.start_failure = random.chance(0.3) ? 0.4 : 0;
}

// With room for any queue that the clients of the scenarios below can fill.
Scenario two_healthy_replicas(std::uint64_t seed) {
  Scenario scenario;
  scenario.seed = seed;
  ModelOptions model;
  model.replicas = 2;
  scenario.core.models = {model};
  for (const double rate : {20'000.0, 30'000.0})
    scenario.machines.push_back({.tokens_per_s = rate, .limits = {16'384, 4'096}});
  return scenario;
}

// Until the next of clients that come by chance.
double interval_us(Random& random, double per_s) {
  return -std::log(1 - random.unit()) * 1e6 / per_s;
}

}  // namespace

Scenario random_scenario(std::uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.core.seed = random.next();
  scenario.core.start_timeout_us = 3 * kSecond;
  const std::int64_t models = random.chance(0.8) ? 1 : 2;
  for (std::int64_t i = 0; i < models; ++i) {
    scenario.core.models.push_back(random_model(random));
    for (std::uint32_t j = 0; j < scenario.core.models.back().replicas; ++j)
      scenario.machines.push_back(random_machine(random, scenario.core.models.back()));
  }
  const TimeUs duration_us = random.between(kSecond, 6 * kSecond);
  add_arrivals(random, scenario, duration_us);
  add_faults(random, scenario, duration_us);
  scenario.faults_end_us = random.chance(0.1) ? 15 * kSecond : duration_us;
  scenario.repeated_frame = random.chance(0.3) ? 0.1 : 0;
  if (random.chance(0.2)) scenario.drain_us = random.between(0, duration_us);
  return scenario;
}

Scenario overload_scenario(std::uint64_t seed, double demand) {
  Random random(seed);
  Scenario scenario = two_healthy_replicas(seed);
  const double requests_per_s = demand * overload_capacity_tokens_per_s() / (50 * 4);
  double at_us = 0.5 * kSecond;  // replicas are ready by then
  while (at_us < static_cast<double>(overload_duration_us())) {
    at_us += interval_us(random, requests_per_s);
    Scenario::Arrival arrival;
    arrival.at_us = static_cast<TimeUs>(at_us);
    arrival.request.id = scenario.arrivals.size() + 1;
    arrival.request.tenant = static_cast<TenantId>(random.below(4));
    arrival.request.deadline_us = arrival.at_us + kSecond;
    for (int i = 0; i < 4; ++i)
      arrival.request.item_tokens.push_back(static_cast<std::uint32_t>(random.between(1, 99)));
    arrival.texts.resize(4);
    scenario.arrivals.push_back(std::move(arrival));
  }
  return scenario;
}

Scenario stream_scenario(std::uint64_t seed, const StreamLoad& load) {
  constexpr TimeUs kBegin = kSecond / 2, kEnd = kBegin + 10 * kSecond;
  constexpr std::uint32_t kLongest = 512;
  constexpr double kTokensPerS = 50'000;
  Random random(seed);
  Scenario scenario = two_healthy_replicas(seed);
  scenario.core.models[0].initial_tokens_per_s = kTokensPerS / 2;  // else the first are due late
  const auto add = [&](RequestId id, TimeUs at_us, std::uint32_t tokens) -> Scenario::Arrival& {
    Scenario::Arrival& arrival = scenario.arrivals.emplace_back();
    arrival.at_us = at_us;
    arrival.request.id = id;
    arrival.request.deadline_us = 3'600 * kSecond;
    arrival.request.item_tokens = {tokens};
    arrival.texts.resize(1);
    return arrival;
  };
  const auto messages =
      load.messages_open + RequestId((kEnd - kBegin) / 1e6 * kTokensPerS / kLongest);
  for (RequestId id = 1; id <= messages; ++id) {
    Scenario::Arrival& message = add(id, kBegin, kLongest);
    message.request.stream = load.known ? 1 : 0;
    if (id > load.messages_open) message.after = id - load.messages_open;
  }
  const double queries_per_s = load.query_load * kTokensPerS / load.query_tokens;
  RequestId query = kFirstQuery;
  for (double at_us = kBegin; at_us < kEnd; at_us += interval_us(random, queries_per_s))
    add(query++, static_cast<TimeUs>(at_us), load.query_tokens);
  return scenario;
}

double overload_capacity_tokens_per_s() { return 50'000; }
TimeUs overload_duration_us() { return 20 * kSecond; }

}  // namespace sheaf::core
