#include "planner/plan.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "planner/brute_force.h"

namespace sheaf::planner {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

// Cuts made by hand after the placements of the MIG guide, so that they owe nothing to the tables.
Part part(const std::string& profile, double gib, double sevenths, double eighths) {
  return {profile, static_cast<std::uint64_t>(gib * kGiB), sevenths / 7, eighths / 8};
}

Machine whole_card(std::uint32_t cards = 1) {
  return {"rtx-4090", {{Part{"", 24 * kGiB, 1, 1}}}, cards, 0.9};
}

Machine quarters_card() {
  const Part one{"1g", 6 * kGiB, 0.25, 0.25}, two{"2g", 12 * kGiB, 0.5, 0.5};
  return {"a30", {{Part{"", 24 * kGiB, 1, 1}}, {two, two}, {two, one, one}, {one, one, one, one}}};
}

Machine sevenths_card(std::uint32_t cards = 1) {
  const Part one = part("1g", 4.75, 1, 1), wide = part("1g+mem", 9.6, 1, 2);
  const Part two = part("2g", 9.6, 2, 2), three = part("3g", 19.5, 3, 4);
  const Part four = part("4g", 19.5, 4, 4);
  return {"a100-40",
          {{Part{"", 40 * kGiB, 1, 1}},
           {four, three},
           {three, three},
           {four, two, one},
           {four, one, one, one},
           {three, two, two},
           {three, two, one, one},
           {three, one, one, one, one},
           {two, two, two, one},
           {two, two, one, one, one},
           {two, one, one, one, one, one},
           {one, one, one, one, one, one, one},
           {three, wide, two},
           {four, wide, one},
           {wide, wide, wide, wide}},
          cards,
          0.9};
}

Demand demand(const std::string& name, double wanted, Isolation isolation = Isolation::none) {
  Demand demand;
  demand.name = name;
  demand.weights_bytes = kGiB;
  demand.replica_bytes = kGiB / 2;
  demand.compute_tokens_per_s = 100'000;
  demand.bandwidth_tokens_per_s = 200'000;
  demand.wanted_tokens_per_s = wanted;
  demand.isolation = isolation;
  return demand;
}

// --- against brute force ---

class Problems {
 public:
  explicit Problems(unsigned seed) : random_(seed) {}

  std::vector<Demand> next(unsigned most_models) {
    std::vector<Demand> demands(1 + random_() % most_models);
    for (std::size_t i = 0; i < demands.size(); ++i) demands[i] = one(i);
    return demands;
  }

 private:
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() % 1000) / 999;
  }

  Demand one(std::size_t index) {
    Demand demand;
    demand.name = fmt::format("m{}", index);
    demand.weights_bytes = static_cast<std::uint64_t>(between(0.1, random_() % 4 ? 6 : 24) * kGiB);
    demand.replica_bytes = static_cast<std::uint64_t>(between(0.5, 1.5) * kGiB);
    demand.compute_tokens_per_s = between(5e4, 5e5);
    demand.bandwidth_tokens_per_s = between(5e4, 5e5);
    const double rate = std::min(demand.compute_tokens_per_s, demand.bandwidth_tokens_per_s);
    if (random_() % 4 != 0)
      demand.wanted_tokens_per_s = rate * between(0.01, random_() % 3 ? 0.5 : 1.2);
    if (random_() % 3 == 0) demand.p99_ms = between(15, 200);
    if (random_() % 2 == 0) demand.batch_tokens = 1u << (9 + random_() % 6);
    demand.text_tokens = 1u << (7 + random_() % 7);
    demand.isolation = static_cast<Isolation>(random_() % 3);
    return demand;
  }

  std::mt19937 random_;
};

// The plan seen with nothing but its slices: its cut, and who is in which part.
brute_force::Masks masks_of(const Machine& machine, const Plan& plan) {
  if (plan.cuts.empty()) return brute_force::Masks(machine.cuts[0].size(), 0);
  const Cut& cut = machine.cuts[plan.cuts[0]];
  brute_force::Masks masks(cut.size(), 0);
  for (const PlannedSlice& slice : plan.slices)
    for (std::size_t p = 0; p < cut.size(); ++p)
      if (masks[p] == 0 && cut[p].profile == slice.part.profile) {
        for (const std::size_t i : slice.models) masks[p] |= 1u << i;
        break;
      }
  return masks;
}

void expect_best(const Machine& machine, const std::vector<Demand>& demands, int problem) {
  const Plan plan = make_plan(machine, demands);
  EXPECT_TRUE(plan.exact) << machine.card << " problem " << problem;
  const Cut& cut = machine.cuts[plan.cuts.empty() ? 0 : plan.cuts[0]];
  const brute_force::Masks masks = masks_of(machine, plan);
  const brute_force::Judge judge(cut, machine.memory_utilization, demands);
  ASSERT_TRUE(judge.is_allowed(masks)) << machine.card << " problem " << problem;
  const brute_force::Judgement mine = judge.judge(masks);
  const brute_force::Judgement best = brute_force::Search(machine, demands).best();
  for (std::size_t i = 0; i < best.size(); ++i)
    EXPECT_NEAR(mine[i], best[i], 1e-5 + 1e-5 * best[i])
        << machine.card << " problem " << problem << " of " << demands.size() << " models, part "
        << i << " of the score";
  // And what the plan says of itself is so.
  EXPECT_EQ(plan.score.unserved, static_cast<std::int64_t>(mine[0]));
  EXPECT_EQ(plan.score.unmet, static_cast<std::int64_t>(mine[1]));
  EXPECT_NEAR(static_cast<double>(plan.score.tightness_ppm), 1e6 * mine[4], 2 + mine[4]);
}

// SHEAF_PLAN_PROBLEMS: how many of each kind; a hundred take a few seconds.
int problems_wanted() {
  const char* text = std::getenv("SHEAF_PLAN_PROBLEMS");
  return text == nullptr ? 80 : std::atoi(text);
}

TEST(PlanAgainstBruteForce, CardsThatCannotBeCut) {
  Problems problems(1);
  for (int i = 0; i < problems_wanted(); ++i) expect_best(whole_card(), problems.next(6), i);
}

TEST(PlanAgainstBruteForce, CardsOfFourSlices) {
  Problems problems(2);
  for (int i = 0; i < problems_wanted(); ++i) expect_best(quarters_card(), problems.next(4), i);
}

TEST(PlanAgainstBruteForce, CardsOfSevenSlices) {
  Problems problems(3);
  for (int i = 0; i < problems_wanted(); ++i) expect_best(sevenths_card(), problems.next(4), i);
}

TEST(Plan, SixModelsAreSearchedWhole) {
  Problems problems(5);
  for (int i = 0; i < 30; ++i) {
    std::vector<Demand> demands;
    while (demands.size() < 6) demands = problems.next(6);
    EXPECT_TRUE(make_plan(sevenths_card(), demands).exact) << "problem " << i;
  }
}

// --- what a user would expect ---

TEST(Plan, NoModelNeedsNoCard) {
  const Plan plan = make_plan(sevenths_card(), {});
  EXPECT_TRUE(plan.slices.empty());
  EXPECT_TRUE(plan.cuts.empty());
  EXPECT_EQ(plan.score, Score());
}

TEST(Plan, OneModelGetsTheWholeCard) {
  const std::vector<Demand> demands = {demand("a", 50'000)};
  const Plan plan = make_plan(sevenths_card(), demands);
  ASSERT_EQ(plan.slices.size(), 1u);
  EXPECT_EQ(plan.slices[0].part.profile, "");
  EXPECT_EQ(plan.models[0].replicas, 1u);
  EXPECT_DOUBLE_EQ(plan.models[0].tokens_per_s, 100'000);
  EXPECT_TRUE(plan.models[0].met);
}

TEST(Plan, FullIsolationMeansSlicesOfTheirOwn) {
  const std::vector<Demand> demands = {demand("a", 10'000, Isolation::full),
                                       demand("b", 10'000, Isolation::full)};
  const Plan plan = make_plan(sevenths_card(), demands);
  for (const PlannedSlice& slice : plan.slices) {
    EXPECT_EQ(slice.models.size(), 1u);
    EXPECT_FALSE(slice.part.profile.empty());
    EXPECT_EQ(slice.sharing, Sharing::alone);
    EXPECT_NE(slice.reason.find("isolation full"), std::string::npos) << slice.reason;
  }
  EXPECT_EQ(plan.score.unserved, 0);
}

TEST(Plan, WithoutMigFullIsolationOfTwoNeedsTwoCards) {
  const std::vector<Demand> demands = {demand("a", 1'000, Isolation::full),
                                       demand("b", 1'000, Isolation::full)};
  const Plan one = make_plan(whole_card(1), demands);
  EXPECT_EQ(one.score.unserved, 1);
  const Plan two = make_plan(whole_card(2), demands);
  EXPECT_EQ(two.score.unserved, 0);
  EXPECT_EQ(two.score.cards, 2);
}

TEST(Plan, MemoryIsolationSharesByMpsNeverByTurns) {
  const std::vector<Demand> demands = {demand("a", 0, Isolation::memory), demand("b", 0)};
  const Plan plan = make_plan(whole_card(), demands);
  ASSERT_EQ(plan.slices.size(), 1u);
  EXPECT_EQ(plan.slices[0].sharing, Sharing::mps);
  EXPECT_NE(plan.slices[0].reason.find("memory limit"), std::string::npos) << plan.slices[0].reason;
}

TEST(Plan, RareModelsTakeTurns) {
  const std::vector<Demand> demands = {demand("a", 1'000), demand("b", 500)};
  const Plan plan = make_plan(whole_card(), demands);
  ASSERT_EQ(plan.slices.size(), 1u);
  EXPECT_EQ(plan.slices[0].sharing, Sharing::time);
}

TEST(Plan, ComplementaryLoadsGoTogether) {
  std::vector<Demand> demands;
  for (const char* name : {"arithmetic-1", "arithmetic-2", "traffic-1", "traffic-2"}) {
    demands.push_back(demand(name, 70'000));
    const bool traffic = name[0] == 't';
    demands.back().compute_tokens_per_s = traffic ? 700'000 : 100'000;
    demands.back().bandwidth_tokens_per_s = traffic ? 100'000 : 700'000;
  }
  const Plan plan = make_plan(whole_card(2), demands);
  EXPECT_EQ(plan.score.unmet, 0);
  ASSERT_EQ(plan.slices.size(), 2u);
  for (const PlannedSlice& slice : plan.slices) {
    ASSERT_EQ(slice.models.size(), 2u);
    EXPECT_LT(slice.models[0], 2u);
    EXPECT_GE(slice.models[1], 2u);
    EXPECT_EQ(slice.sharing, Sharing::mps);
    EXPECT_NE(slice.reason.find("one loads the arithmetic"), std::string::npos) << slice.reason;
  }
}

// Which of the two is the narrower says nothing where both are idle most of the time.
TEST(Plan, LightModelsAreNotSaidToComplementEachOther) {
  std::vector<Demand> demands = {demand("arithmetic", 15'000), demand("traffic", 1'000)};
  demands[1].bandwidth_tokens_per_s = 50'000;
  const Plan plan = make_plan(whole_card(), demands);
  ASSERT_EQ(plan.slices.size(), 1u);
  EXPECT_EQ(plan.slices[0].sharing, Sharing::mps);
  EXPECT_NE(plan.slices[0].reason.find("small models"), std::string::npos) << plan.slices[0].reason;
}

TEST(Plan, AnImpossibleTargetIsSaidInTimesNotInPerCent) {
  const Plan plan =
      make_plan(whole_card(), std::vector<Demand>{demand("much", 1e9), demand("rare", 0)});
  EXPECT_NE(plan.models[0].reason.find("the target needs 11111 times what it can have here"),
            std::string::npos)
      << plan.models[0].reason;
  for (const PlannedSlice& slice : plan.slices)
    EXPECT_NE(slice.reason.find("times over"), std::string::npos) << slice.reason;
}

TEST(Plan, WhatOneCardCannotCarryIsSpread) {
  const std::vector<Demand> demands = {demand("big", 250'000), demand("small", 10'000)};
  const Plan plan = make_plan(whole_card(8), demands);
  EXPECT_EQ(plan.score.unmet, 0);
  EXPECT_EQ(plan.score.cards, 3);  // two full, and the half beside the small one
  EXPECT_EQ(plan.models[0].replicas, 3u);
  EXPECT_GE(plan.models[0].tokens_per_s, 250'000);
}

TEST(Plan, TooManyForTheCardsStillAllRun) {
  std::vector<Demand> demands;
  for (int i = 0; i < 5; ++i) demands.push_back(demand(fmt::format("m{}", i), 90'000));
  const Plan plan = make_plan(whole_card(2), demands);
  EXPECT_EQ(plan.score.unserved, 0);
  EXPECT_GT(plan.score.unmet, 0);
  for (const PlannedModel& model : plan.models)
    EXPECT_NE(model.reason.find(model.met ? "times the wanted" : "of the wanted"),
              std::string::npos)
        << model.reason;
}

TEST(Plan, WhatFitsNowhereSaysHowMuchItNeeds) {
  std::vector<Demand> demands = {demand("giant", 0), demand("small", 0)};
  demands[0].weights_bytes = 100 * kGiB;
  for (const std::uint32_t cards : {1u, 4u}) {
    const Plan plan = make_plan(whole_card(cards), demands);
    EXPECT_EQ(plan.models[0].replicas, 0u);
    EXPECT_NE(plan.models[0].reason.find("needs 100.50 GiB"), std::string::npos)
        << plan.models[0].reason;
    EXPECT_EQ(plan.models[1].replicas, 1u);
    EXPECT_EQ(plan.score.unserved, 1);
  }
}

TEST(Plan, TheSameQuestionGetsTheSameAnswer) {
  Problems problems(7);
  for (int i = 0; i < 10; ++i) {
    const std::vector<Demand> demands = problems.next(6);
    const Plan a = make_plan(sevenths_card(3), demands), b = make_plan(sevenths_card(3), demands);
    EXPECT_EQ(a.score, b.score);
    ASSERT_EQ(a.slices.size(), b.slices.size());
    for (std::size_t s = 0; s < a.slices.size(); ++s) {
      EXPECT_EQ(a.slices[s].models, b.slices[s].models);
      EXPECT_EQ(a.slices[s].reason, b.slices[s].reason);
    }
  }
}

// Several cards are not searched whole, but no rule is broken and no model forgotten.
TEST(Plan, ManyCardsKeepTheRules) {
  Problems problems(11);
  for (int i = 0; i < 30; ++i) {
    const std::vector<Demand> demands = problems.next(12);
    const Plan plan = make_plan(sevenths_card(4), demands);
    EXPECT_LE(plan.cuts.size(), 4u);
    std::vector<std::uint32_t> replicas(demands.size(), 0);
    for (const PlannedSlice& slice : plan.slices) {
      EXPECT_LT(slice.card, plan.cuts.size());
      EXPECT_LE(slice.used_bytes, slice.usable_bytes);
      for (const std::size_t model : slice.models) {
        ++replicas[model];
        EXPECT_TRUE(slice.models.size() == 1 || demands[model].isolation != Isolation::full);
      }
    }
    for (std::size_t m = 0; m < demands.size(); ++m) {
      EXPECT_EQ(plan.models[m].replicas, replicas[m]);
      EXPECT_FALSE(plan.models[m].reason.empty());
    }
  }
}

}  // namespace
}  // namespace sheaf::planner
