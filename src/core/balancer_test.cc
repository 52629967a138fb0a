#include "core/balancer.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace sheaf::core {
namespace {

Candidate candidate(double tokens_per_s, TimeUs free_us, std::uint64_t tokens_open,
                    bool room = true) {
  Candidate made;
  made.room = room;
  made.tokens_per_s = tokens_per_s;
  made.free_us = free_us;
  made.tokens_open = tokens_open;
  made.split_minimum = 50;
  made.tokens_bound_max = 1'000;
  return made;
}

TEST(Balancer, PolicyNamesGoThereAndBack) {
  for (const Policy policy :
       {Policy::predictive, Policy::least_loaded, Policy::round_robin, Policy::random})
    EXPECT_EQ(parse_policy(name_of(policy)), policy);
  EXPECT_FALSE(parse_policy("fastest"));
}

TEST(Balancer, LatePoliciesServeByShare) {
  struct Case {
    const char* what;
    Policy policy;
    std::vector<Candidate> ready;
    std::uint64_t queued;
    int chosen;  // -1: none
    std::uint64_t tokens;
  };
  const auto predictive = Policy::predictive;
  const auto least = Policy::least_loaded;
  for (const Case& c : {
           Case{"equal and idle: half each",
                predictive,
                {candidate(10'000, 0, 0), candidate(10'000, 0, 0)},
                800,
                0,
                400},
           Case{"by rate",
                predictive,
                {candidate(10'000, 0, 0), candidate(30'000, 0, 0)},
                800,
                1,
                600},
           Case{"too little to split",
                predictive,
                {candidate(10'000, 0, 0), candidate(10'000, 0, 0)},
                16,
                0,
                50},
           Case{"the idle one takes all that the busy one would not begin in time",
                predictive,
                {candidate(10'000, 100'000, 900), candidate(10'000, 0, 0)},
                800,
                1,
                800},
           Case{"the busy one is left its part",
                predictive,
                {candidate(10'000, 20'000, 200, false), candidate(10'000, 0, 0)},
                1'000,
                1,
                600},
           Case{"a slow one is not worth it if the fast one is done before it",
                predictive,
                {candidate(100'000, 10'000, 900, false), candidate(1'000, 20'000, 20)},
                100,
                -1,
                0},
           Case{"but it is if there is enough for both",
                predictive,
                {candidate(100'000, 10'000, 900, false), candidate(1'000, 0, 0)},
                100'000,
                1,
                1'000},
           Case{"no room anywhere", predictive, {candidate(10'000, 0, 10, false)}, 800, -1, 0},
           Case{"nobody ready", predictive, {}, 800, -1, 0},
           Case{"fewest tokens, whatever the rate",
                least,
                {candidate(90'000, 0, 500), candidate(1'000, 0, 100)},
                200,
                1,
                200},
           Case{"level filled", least, {candidate(1, 0, 100), candidate(1, 0, 0)}, 300, 1, 200},
       }) {
    const auto balancer = make_balancer(c.policy, 1);
    EXPECT_FALSE(balancer->bind(c.ready, 10)) << c.what;
    const auto share = balancer->serve(0, c.queued, c.ready);
    ASSERT_EQ(share ? int(share->candidate) : -1, c.chosen) << c.what;
    EXPECT_NEAR(share ? double(share->tokens) : 0.0, double(c.tokens), 10) << c.what;
  }
}

TEST(Balancer, RoundRobinTakesTurnsAndStepsOverFullQueues) {
  const auto balancer = make_balancer(Policy::round_robin, 1);
  std::vector<Candidate> ready(3, candidate(10'000, 0, 0));
  for (const std::size_t expected : {0U, 1U, 2U, 0U})
    EXPECT_EQ(balancer->bind(ready, 10), expected);
  ready[1].tokens_bound = 995;
  EXPECT_EQ(balancer->bind(ready, 10), 2U);
  for (Candidate& each : ready) each.tokens_bound = 995;
  EXPECT_FALSE(balancer->bind(ready, 10)) << "all full: the common queue";
  ready[0].tokens_bound = 0;
  EXPECT_EQ(balancer->bind(ready, 5'000), 0U) << "a large request goes into an empty queue";
  EXPECT_FALSE(balancer->bind({}, 10));
}

TEST(Balancer, RandomReachesAllAndRepeatsWithItsSeed) {
  const std::vector<Candidate> ready(4, candidate(10'000, 0, 0));
  const auto one = make_balancer(Policy::random, 7);
  const auto two = make_balancer(Policy::random, 7);
  std::set<std::size_t> reached;
  for (int i = 0; i < 100; ++i) {
    const auto choice = one->bind(ready, 10);
    EXPECT_EQ(choice, two->bind(ready, 10));
    reached.insert(*choice);
  }
  EXPECT_EQ(reached.size(), 4U);
}

}  // namespace
}  // namespace sheaf::core
