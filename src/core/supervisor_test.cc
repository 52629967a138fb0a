#include "core/supervisor.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

Supervisor supervisor() { return Supervisor(60 * kSecond, 1); }

TEST(Supervisor, RestartsAtOnceAfterADeathThatDoesNotCount) {
  Supervisor one = supervisor();
  for (Incarnation i = 1; i <= 100; ++i) {
    EXPECT_EQ(one.start(0), i);
    EXPECT_TRUE(one.runs(i));
    EXPECT_FALSE(one.runs(i - 1));
    one.ready();
    one.ended(0, false);
    EXPECT_FALSE(one.runs(i));
    EXPECT_TRUE(one.start_is_due(0));
  }
}

TEST(Supervisor, BacksOffExponentiallyThenOpensTheBreaker) {
  Supervisor one = supervisor();
  TimeUs now = 0;
  const TimeUs base_us[] = {100'000, 200'000, 400'000, 800'000};
  for (const TimeUs base : base_us) {
    one.start(now);
    one.ended(now, true);
    EXPECT_EQ(one.state(), ReplicaState::backoff);
    const TimeUs wait = one.next_us() - now;
    EXPECT_GE(wait, std::max<TimeUs>(100'000, base * 3 / 4));
    EXPECT_LE(wait, base * 5 / 4);
    EXPECT_FALSE(one.start_is_due(one.next_us() - 1));
    EXPECT_TRUE(one.start_is_due(one.next_us()));
    now = one.next_us();
  }
  one.start(now);
  one.ended(now, true);
  EXPECT_EQ(one.state(), ReplicaState::broken);
  EXPECT_EQ(one.next_us(), now + 30 * kSecond);
}

Supervisor broken_at(TimeUs now) {
  Supervisor one = supervisor();
  for (int i = 0; i < 5; ++i) {
    one.start(now);
    one.ended(now, true);
  }
  return one;
}

TEST(Supervisor, AHalfOpenBreakerClosesWithABatchAndOpensWithAFailure) {
  Supervisor fails = broken_at(0);
  ASSERT_EQ(fails.state(), ReplicaState::broken);
  fails.start(30 * kSecond);
  fails.ready();
  fails.ended(30 * kSecond, true);
  EXPECT_EQ(fails.state(), ReplicaState::broken);

  Supervisor works = broken_at(0);
  works.start(30 * kSecond);
  works.ready();
  works.batch_finished(31 * kSecond);
  works.ended(31 * kSecond, true);
  EXPECT_EQ(works.state(), ReplicaState::backoff) << "the first failure of a new count";
}

TEST(Supervisor, FailuresOlderThanAMinuteAreForgotten) {
  Supervisor one = supervisor();
  for (TimeUs now = 0; now < 20 * 16 * kSecond; now += 16 * kSecond) {  // at most four in 60 s
    one.start(now);
    one.ended(now, true);
    EXPECT_EQ(one.state(), ReplicaState::backoff) << now;
  }
}

TEST(Supervisor, ForgivesAReplicaThatHasWorkedLately) {
  Supervisor worked = supervisor();
  worked.start(0);
  worked.ready();
  worked.batch_finished(0);
  for (int i = 0; i < 5; ++i) {
    worked.ended(1, true);
    worked.forgive(1);
    EXPECT_EQ(worked.state(), ReplicaState::backoff);
    worked.start(1);
  }
  Supervisor never_worked = broken_at(0);
  for (int i = 0; i < 5; ++i) never_worked.forgive(1);
  EXPECT_EQ(never_worked.state(), ReplicaState::broken);

  Supervisor killed = supervisor();
  killed.start(0);
  killed.batch_finished(0);
  killed.kill(true);
  killed.forgive(1);
  EXPECT_FALSE(killed.was_killed_for_failure());
}

TEST(Supervisor, AStartMayNotTakeForEver) {
  Supervisor one = supervisor();
  one.start(5);
  EXPECT_EQ(one.next_us(), 60 * kSecond + 5);
  EXPECT_FALSE(one.start_timed_out(60 * kSecond));
  EXPECT_TRUE(one.start_timed_out(60 * kSecond + 5));
  one.ready();
  EXPECT_FALSE(one.start_timed_out(90 * kSecond));
  EXPECT_EQ(one.next_us(), kNever);
}

TEST(Supervisor, WaitingForASliceTakesNoTime) {
  Supervisor one = supervisor();
  one.wait();
  EXPECT_EQ(one.state(), ReplicaState::stopped) << "only one that starts waits";
  one.start(0);
  one.wait();
  EXPECT_EQ(one.state(), ReplicaState::waiting);
  EXPECT_TRUE(one.runs(1));
  EXPECT_FALSE(one.is_ready());
  EXPECT_EQ(one.next_us(), kNever);
  one.wait_is_over(500 * kSecond);
  EXPECT_EQ(one.state(), ReplicaState::starting);
  EXPECT_EQ(one.next_us(), 560 * kSecond);
  one.ready();
  one.wait_is_over(501 * kSecond);
  EXPECT_TRUE(one.is_ready());
}

TEST(Supervisor, StoppedStaysStopped) {
  Supervisor one = supervisor();
  one.start(0);
  one.stop();
  EXPECT_FALSE(one.runs(1));
  EXPECT_FALSE(one.start_is_due(kNever - 1));
  EXPECT_EQ(one.next_us(), kNever);
}

}  // namespace
}  // namespace sheaf::core
