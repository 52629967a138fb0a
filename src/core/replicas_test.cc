#include "core/replicas.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

struct Two {
  Two() {
    for (std::uint32_t i = 0; i < 2; ++i) replicas.start(0, i);
    replicas.note_readiness(0);
  }
  static CoreOptions options() {
    CoreOptions options;
    options.models.resize(1);
    options.models[0].replicas = 2;
    options.models[0].initial_tokens_per_s = 1'000;
    return options;
  }

  Random seeds{1};
  Outbox outbox;
  Replicas replicas{options(), 0, 5, seeds, outbox};
};

TEST(Replicas, AddUpWhatTheyCanDo) {
  Two two;
  EXPECT_EQ(two.replicas.ready_tokens_per_s(), 0);
  EXPECT_EQ(two.replicas.all_tokens_per_s(), 2'000);
  EXPECT_TRUE(two.replicas.rates_learnt()) << "none is ready";
  two.replicas[1].supervisor.ready();
  EXPECT_EQ(two.replicas.ready_tokens_per_s(), 1'000);
  EXPECT_FALSE(two.replicas.rates_learnt());
  Batch batch;
  batch.tokens = 500;
  two.replicas[1].flight.add(0, batch);
  EXPECT_EQ(two.replicas.tokens_in_flight(kSecond / 5), 300U);
}

TEST(Replicas, AreStarvedWhenNoneHasBeenReadyForTenSeconds) {
  Two two;
  EXPECT_EQ(two.replicas.starved_from_us(), 10 * kSecond);
  EXPECT_FALSE(two.replicas.starved(10 * kSecond - 1));
  EXPECT_TRUE(two.replicas.starved(10 * kSecond));
  EXPECT_EQ(two.replicas.starved_error(12 * kSecond).message,
            "no replica has been ready for 12.0 s");
  two.replicas[0].supervisor.ready();
  two.replicas.note_readiness(12 * kSecond);
  EXPECT_FALSE(two.replicas.starved(12 * kSecond));
  EXPECT_EQ(two.replicas.starved_from_us(), kNever);
}

TEST(Replicas, AreStarvedAtOnceWhenAllAreBrokenForLonger) {
  Two two;
  for (std::uint32_t i = 0; i < 2; ++i)
    for (int failures = 0; failures < 5; ++failures) {
      EXPECT_FALSE(two.replicas.starved(0));
      two.replicas.ended_by_itself(0, i, {Blame::none, true, "no weights"});
      if (failures < 4) two.replicas.start(0, i);
    }
  EXPECT_TRUE(two.replicas.starved(0));
  const Error error = two.replicas.starved_error(0);
  EXPECT_EQ(error.message, "no replica has been ready for 0.0 s; last: no weights");
  EXPECT_EQ(error.retry_after_s, 30);
}

TEST(Replicas, SayWhatHappensToThem) {
  Two two;
  two.outbox.actions.clear();
  two.replicas.kill(1, {Blame::suspected, true, "hung"});
  ASSERT_EQ(two.outbox.actions.size(), 2U);
  const auto& kill = std::get<KillReplica>(two.outbox.actions[0]);
  EXPECT_EQ(kill.replica, 6U);
  EXPECT_EQ(kill.reason, "hung");
  EXPECT_EQ(std::get<Notice>(two.outbox.actions[1]).text, "replica 6 is killed: hung");
  EXPECT_EQ(two.replicas[1].last_death, "killed: hung");

  two.outbox.actions.clear();
  two.replicas.stop_all();
  ASSERT_EQ(two.outbox.actions.size(), 1U) << "one is being killed";
  EXPECT_EQ(std::get<StopReplica>(two.outbox.actions[0]).replica, 5U);
  two.replicas[1].supervisor.ended(0, true);
  two.replicas.restart(0, 1);
  EXPECT_EQ(two.outbox.actions.size(), 1U) << "stays down";
  EXPECT_EQ(two.replicas.next_us(), kNever);
}

}  // namespace
}  // namespace sheaf::core
