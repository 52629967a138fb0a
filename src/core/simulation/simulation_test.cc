#include "core/simulation/simulation.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace sheaf::core {
namespace {

// SHEAF_SIM_SEED=17 prints that run's log; SHEAF_SIM_SEEDS=100000 runs as many seeds.
std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string replay_hint(std::uint64_t seed) {
  return "SHEAF_SIM_SEED=" + std::to_string(seed) + " replays it";
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(Simulation, KeepsItsPromisesForEverySeed) {
  const std::uint64_t seeds = environment_number("SHEAF_SIM_SEEDS", 1'000);
  std::size_t answered = 0, cancelled = 0, deaths = 0, batches = 0, failed_seeds = 0;
  std::map<ErrorCode, std::size_t> refused;
  for (std::uint64_t seed = 1; seed <= seeds && failed_seeds < 5; ++seed) {
    const SimulationReport report = simulate(random_scenario(seed));
    EXPECT_TRUE(report.violations.empty())
        << "seed " << seed << ": " << joined(report.violations) << replay_hint(seed);
    failed_seeds += report.violations.empty() ? 0 : 1;
    answered += report.answered;
    cancelled += report.cancelled;
    deaths += report.deaths;
    batches += report.batches;
    for (const auto& [code, count] : report.refused) refused[code] += count;
  }
  std::printf("%zu answered, %zu cancelled, %zu deaths, %zu batches", answered, cancelled, deaths,
              batches);
  for (const auto& [code, count] : refused)
    std::printf(", %zu %s", count, std::string(name_of(code)).c_str());
  std::printf("\n");
  // A simulation in which nothing happens would keep all promises.
  if (seeds >= 1'000 && failed_seeds == 0) {
    EXPECT_GT(answered, 30'000U);
    EXPECT_GT(cancelled, 500U);
    EXPECT_GT(deaths, 2'000U);
    for (const ErrorCode code : {ErrorCode::overloaded, ErrorCode::unavailable,
                                 ErrorCode::deadline_exceeded, ErrorCode::poisonous})
      EXPECT_GT(refused[code], 100U) << name_of(code);
  }
}

TEST(Simulation, ReplaysByteForByte) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const SimulationReport first = simulate(random_scenario(seed), true);
    const SimulationReport second = simulate(random_scenario(seed), true);
    ASSERT_EQ(first.log_hash, second.log_hash) << "seed " << seed;
    ASSERT_EQ(first.log, second.log) << "seed " << seed;
    ASSERT_NE(first.log_hash, simulate(random_scenario(seed + 1)).log_hash);
  }
}

TEST(Simulation, PrintsTheSeedAskedFor) {
  const std::uint64_t seed = environment_number("SHEAF_SIM_SEED", 0);
  if (seed == 0) GTEST_SKIP() << "SHEAF_SIM_SEED is not set";
  const SimulationReport report = simulate(random_scenario(seed), true);
  std::fputs(report.log.c_str(), stdout);
  EXPECT_TRUE(report.violations.empty()) << joined(report.violations);
}

double goodput_tokens_per_s(double demand) {
  std::uint64_t tokens = 0;
  constexpr std::uint64_t kRuns = 3;
  for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
    const SimulationReport report = simulate(overload_scenario(seed, demand));
    EXPECT_TRUE(report.violations.empty()) << joined(report.violations);
    tokens += report.tokens_answered;
  }
  return static_cast<double>(tokens) / kRuns / (static_cast<double>(overload_duration_us()) / 1e6);
}

// Goodput at 2, 5, 10 times the demand is at least 98, 95, 90 % of the peak.
TEST(Simulation, OverloadDoesNotCostGoodput) {
  double peak = 0;
  for (const double demand : {0.9, 1.0, 1.2, 1.5})
    peak = std::max(peak, goodput_tokens_per_s(demand));
  EXPECT_GT(peak, 0.9 * overload_capacity_tokens_per_s());
  for (const auto& [demand, share] : {std::pair(2.0, 0.98), {5.0, 0.95}, {10.0, 0.90}}) {
    const double goodput = goodput_tokens_per_s(demand);
    std::printf("demand %4.1f: goodput %.1f %% of peak\n", demand, 100 * goodput / peak);
    EXPECT_GE(goodput, share * peak) << "at " << demand << " times the demand";
  }
}

struct LongestWaits {
  double query_s = 0;
  double message_s = 0;
};

LongestWaits longest_waits(const StreamLoad& load) {
  LongestWaits longest;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Scenario scenario = stream_scenario(seed, load);
    const SimulationReport report = simulate(scenario);
    EXPECT_TRUE(report.violations.empty()) << joined(report.violations);
    EXPECT_EQ(report.answered, scenario.arrivals.size());
    for (const auto& [id, wait_us] : report.answered_after_us) {
      double& wait_s = id < kFirstQuery ? longest.message_s : longest.query_s;
      wait_s = std::max(wait_s, static_cast<double>(wait_us) / 1e6);
    }
  }
  std::printf("load of queries %.1f: they wait %.2f s at most, messages %.2f s\n", load.query_load,
              longest.query_s, longest.message_s);
  return longest;
}

// A stream has 2.6 s of work under way; a query waits for the batches at work, of 0.1 s each.
TEST(Simulation, QueriesPassAStream) {
  EXPECT_LT(longest_waits({.known = true}).query_s, 0.4);
  EXPECT_GT(longest_waits({.known = false}).query_s, 2) << "else this tests nothing";
}

// Queries alone would keep the replicas busy for 12 s. What the stream has under way, 0.65 s of
// work, is due 2 s after it came.
TEST(Simulation, AStreamGetsItsShareBesideTooManyQueries) {
  EXPECT_LT(longest_waits({.query_load = 1.2, .query_tokens = 100, .messages_open = 64}).message_s,
            8);
}

}  // namespace
}  // namespace sheaf::core
