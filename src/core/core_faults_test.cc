#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "core/core_test_bench.h"

namespace sheaf::core {
namespace {

TEST(CoreFaults, AKilledReplicaLosesNothingAndReturnsAtOnce) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.request(1, {16, 16});
  const SendBatch lost = bench.batches.at(0);
  bench.ready(1);
  bench.die(0, SIGKILL);
  ASSERT_EQ(bench.batches.size(), 2U);
  EXPECT_EQ(bench.batches[1].replica, 1U);
  EXPECT_EQ(bench.batches[1].items, lost.items) << "innocent: together, not one by one";
  EXPECT_EQ(bench.starts.back().replica, 0U);
  EXPECT_EQ(bench.starts.back().incarnation, 2U);
  bench.done(lost);  // late frames of the dead
  EXPECT_TRUE(bench.answers.empty());
  bench.done(bench.batches[1]);
  ASSERT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.answers[0].attempts, 2U);
}

TEST(CoreFaults, AStoppedReplicaIsKilledAtOnceAndNobodyIsBlamed) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.request(1, texts(4, 16));
  bench.ready(1);
  bench.sample(0, {1, 100, true});
  ASSERT_EQ(bench.kills.size(), 1U);
  ASSERT_EQ(bench.batches.size(), 2U) << "its work goes on before the process is reaped";
  EXPECT_EQ(bench.batches[1].replica, 1U);
  EXPECT_EQ(bench.batches[1].items.size(), 4U);
  EXPECT_EQ(bench.state(0), ReplicaState::killing);
  bench.die(0, SIGKILL);
  EXPECT_EQ(bench.state(0), ReplicaState::starting) << "at once, without back-off";
}

TEST(CoreFaults, AVanishedSliceBlamesNobodyHoweverOften) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.ready(1);
  for (int i = 0; i < 20; ++i) {
    bench.request(1 + static_cast<RequestId>(i), {16});
    const SendBatch lost = bench.batches.back();
    bench.exit(lost.replica, {ExitReport::Kind::slice_lost, 0, false, "mig:0/3"});
    ASSERT_EQ(bench.state(lost.replica), ReplicaState::starting) << "at once, no breaker";
    const SendBatch again = bench.batches.back();
    ASSERT_NE(again.replica, lost.replica);
    EXPECT_EQ(again.items, lost.items);
    bench.done(again);
    bench.ready(lost.replica);
  }
  EXPECT_EQ(bench.answers.size(), 20U);
  EXPECT_TRUE(bench.kills.empty());
}

TEST(CoreFaults, AReplicaMayWaitForASliceForHours) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.ready(1);
  bench.exit(1, {ExitReport::Kind::slice_lost, 0, false, "mig:0/3"});
  const Incarnation second = bench.incarnation(1);
  bench.core.on_replica_waits(bench.now, 1, second, "slice mig:0/3 vanished");
  bench.pass_until(7'200 * kSecond);
  EXPECT_EQ(bench.state(1), ReplicaState::waiting);
  EXPECT_EQ(bench.core.replica_status(1).last_death, "slice mig:0/3 vanished");
  EXPECT_TRUE(bench.kills.empty()) << "its start takes no time";
  bench.request(1, {16}, 7'300 * kSecond);
  ASSERT_EQ(bench.batches.size(), 1U);
  bench.done(bench.batches.back());
  EXPECT_EQ(bench.answers.size(), 1U) << "the other one works";
  bench.core.on_replica_waits(bench.now, 1, second, "");
  EXPECT_EQ(bench.state(1), ReplicaState::starting);
  bench.ready(1);
  EXPECT_EQ(bench.state(1), ReplicaState::ready);
  EXPECT_EQ(bench.incarnation(1), second);
}

TEST(CoreFaults, WhoWaitsForTheOnlySliceIsToldWhy) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.exit(0, {ExitReport::Kind::slice_lost, 0, false, "gpu:0"});
  bench.core.on_replica_waits(bench.now, 0, bench.incarnation(0), "slice gpu:0 vanished");
  bench.request(1, {16});
  bench.pass_until(10 * kSecond);
  ASSERT_EQ(bench.refusals.count(1), 1U);
  EXPECT_NE(bench.refusals.at(1).message.find("slice gpu:0 vanished"), std::string::npos);
  bench.core.on_drain(bench.now);
  bench.take();
  EXPECT_EQ(bench.stops.size(), 1U) << "it waits no longer";
}

// A model whose only replica runs two batches at once, each of one request.
struct TwoLanes : Bench {
  TwoLanes() : Bench(replicas(1)) {
    ready(0, 16'384, 4'096, 2);
    for (RequestId id = 1; id <= 3; ++id) request(id, texts(2, 100));
  }
};

TEST(CoreFaults, AReplicaWithTwoLanesHasTwoBatchesAndOneMore) {
  TwoLanes bench;
  EXPECT_EQ(bench.batches.size(), 2U) << "the third waits until a lane is about to be free";
  bench.pass_until(kSecond);
  EXPECT_EQ(bench.batches.size(), 3U);
  bench.done(bench.batches[1]);
  bench.done(bench.batches[0]);
  bench.done(bench.batches[2]);
  EXPECT_EQ(bench.answers.size(), 3U);
}

TEST(CoreFaults, BothBatchesThatRanAreSuspected) {
  TwoLanes bench;
  bench.pass_until(kSecond);
  ASSERT_EQ(bench.batches.size(), 3U);
  bench.die(0, SIGSEGV);
  bench.pass_until(bench.now + kSecond);
  bench.ready(0, 16'384, 4'096, 2);
  for (std::size_t next = 3; next < bench.batches.size(); ++next) {
    const bool tried = next < 7;
    EXPECT_EQ(bench.batches[next].items.size(), tried ? 1U : 2U)
        << "the suspects one by one, then the batch that had not begun";
    EXPECT_EQ(bench.core.replica_status(0).batches_in_flight, 1U) << "nothing runs beside them";
    bench.done(bench.batches[next]);
  }
  EXPECT_EQ(bench.batches.size(), 8U);
  EXPECT_EQ(bench.answers.size(), 3U);
}

TEST(CoreFaults, ABatchThatHangsIsSeenBesideOthersThatDoNot) {
  TwoLanes bench;
  ProgressSample sample{1, 0, false};
  for (int i = 0; i < 40 && bench.kills.empty(); ++i) {
    bench.now += 50'000;
    bench.done(bench.batches.back());  // never the first
    bench.request(10 + static_cast<RequestId>(i), texts(2, 100));
    sample.cpu_us += 50'000;
    bench.sample(0, sample);
  }
  ASSERT_EQ(bench.kills.size(), 1U);
  EXPECT_LE(bench.now, 650'000);
  EXPECT_EQ(bench.kills[0].reason, "hung: no progress");
}

TEST(CoreFaults, TwoLanesMayUseTwiceTheTimeOfAProcessor) {
  TwoLanes bench;
  bench.sample(0, {1, 0, false});
  bench.now += 400'000;
  bench.sample(0, {1, 800'000, false});
  EXPECT_TRUE(bench.kills.empty());
  bench.now += 50'000;
  bench.sample(0, {1, 1'000'000, false});
  ASSERT_EQ(bench.kills.size(), 1U);
  EXPECT_EQ(bench.kills[0].reason, "hung: computes without progress");
}

// Two batches of 500 tokens at once, each 100 ms long: 10,000 tokens/s, not 5,000.
TEST(CoreFaults, TheRateIsThatOfBothLanes) {
  Bench bench(replicas(1));
  bench.ready(0, 16'384, 4'096, 2);
  for (RequestId id = 1; id <= 100; ++id) {
    bench.request(id, {500});
    if (bench.batches.size() < 2) continue;
    bench.now += 50'000;
    bench.done(bench.batches[bench.batches.size() - 2], 100'000);
  }
  const ReplicaStatus status = bench.core.replica_status(0);
  EXPECT_NEAR(status.tokens_per_s, 10'000, 500);
  EXPECT_LE(status.busy_us, bench.now);
}

TEST(CoreFaults, KillsHoweverManyInARowAreSurvived) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(1, {16});
  for (int i = 0; i < 50; ++i) {
    bench.die(0, SIGKILL);
    ASSERT_EQ(bench.state(0), ReplicaState::starting);
    bench.ready(0);
  }
  bench.done(bench.batches.back());
  ASSERT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.answers[0].attempts, 51U);
}

// Runs batches in order; one that holds the poison brings its replica down by `fall`.
template <class Fall>
void run_with_poison(Bench& bench, ItemRef poison, Fall fall) {
  for (std::size_t next = 0; next < bench.batches.size() && next < 200; ++next) {
    const SendBatch batch = bench.batches[next];
    if (batch.incarnation != bench.incarnation(batch.replica) ||
        bench.state(batch.replica) != ReplicaState::ready)
      continue;  // lost with its process
    bench.now += 1'000;
    if (std::find(batch.items.begin(), batch.items.end(), poison) == batch.items.end()) {
      bench.done(batch, 1'000);
      continue;
    }
    fall(batch.replica);
    bench.pass_until(bench.now + kSecond);
    for (ReplicaId replica = 0; replica < bench.core.replica_count(); ++replica)
      if (bench.state(replica) == ReplicaState::starting) bench.ready(replica);
  }
}

void expect_only_poison_refused(Bench& bench, RequestId poisonous, std::size_t innocents) {
  EXPECT_EQ(bench.answers.size(), innocents);
  ASSERT_EQ(bench.refusals.size(), 1U);
  const Error& error = bench.refusals.at(poisonous);
  EXPECT_EQ(error.code, ErrorCode::poisonous);
  EXPECT_EQ(error.param, "input[1]");
  EXPECT_NE(error.message.find("item 1"), std::string::npos) << error.message;
  EXPECT_EQ(bench.core.open_requests(), 0U);
}

TEST(CoreFaults, ATextThatCrashesIsFoundAndItsNeighboursSucceed) {
  for (const std::uint32_t count : {1U, 2U, 4U}) {
    Bench bench(replicas(count));
    for (RequestId id = 1; id <= 10; ++id) bench.request(id, texts(3, 20));
    for (ReplicaId replica = 0; replica < count; ++replica) bench.ready(replica);
    std::vector<ReplicaId> fallen;
    run_with_poison(bench, {4, 1}, [&](ReplicaId replica) {
      fallen.push_back(replica);
      bench.die(replica, SIGSEGV);
    });
    expect_only_poison_refused(bench, 4, 9);
    EXPECT_EQ(fallen.size(), 3U) << "once in company, twice alone";
    EXPECT_EQ(fallen[1] != fallen[2], count > 1) << "two witnesses where there are two";
  }
}

TEST(CoreFaults, ATextThatHangsIsFoundAndItsNeighboursSucceed) {
  Bench bench(replicas(2));
  for (RequestId id = 1; id <= 10; ++id) bench.request(id, texts(3, 20));
  bench.ready(0);
  bench.ready(1);
  run_with_poison(bench, {4, 1}, [&](ReplicaId replica) {
    bench.sample(replica, {5, 0, false});
    bench.now += 500'000;
    bench.sample(replica, {5, 500'000, false});
    ASSERT_EQ(bench.kills.back().replica, replica);
    bench.die(replica, SIGKILL);
  });
  expect_only_poison_refused(bench, 4, 9);
}

TEST(CoreFaults, SuspectsRunOneByOneWithNothingBesideThem) {
  Bench bench(replicas(1));
  bench.request(1, texts(4, 16));
  bench.ready(0);
  bench.die(0, SIGABRT);
  bench.request(2, {16});
  bench.pass_until(kSecond);
  bench.ready(0);
  for (std::uint32_t i = 0; i < 4; ++i) {
    ASSERT_EQ(bench.batches.size(), 2U + i);
    EXPECT_EQ(bench.batches.back().items, (std::vector<ItemRef>{{1, i}}));
    EXPECT_EQ(bench.core.replica_status(0).batches_in_flight, 1U);
    bench.done(bench.batches.back());
  }
  EXPECT_EQ(bench.batches.back().items, (std::vector<ItemRef>{{2, 0}})) << "then the queue";
}

TEST(CoreFaults, TheBatchBehindTheOneThatCrashedIsNotSuspected) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 512;
  model.initial_tokens_per_s = 100'000;  // 5 ms a batch: the second follows at once
  Bench bench(model);
  bench.request(1, texts(8, 128));
  bench.ready(0);
  ASSERT_EQ(bench.batches.size(), 2U);
  bench.die(0, SIGSEGV);
  bench.pass_until(kSecond);
  bench.ready(0);
  std::size_t alone = 0;
  for (std::size_t next = 2; next < bench.batches.size(); ++next) {
    alone += bench.batches[next].items.size() == 1;
    bench.done(bench.batches[next], 5'000);
  }
  EXPECT_EQ(alone, 4U);
  EXPECT_EQ(bench.answers.size(), 1U);
}

TEST(CoreFaults, AReplicaThatFailsItsProbeBlamesNoText) {
  Bench bench(replicas(1));
  bench.probes_pass = false;
  bench.ready(0);
  bench.request(1, {10});
  bench.die(0, SIGSEGV);  // the text's fault or the replica's: it had not worked before
  for (std::size_t death = 1; death <= 2; ++death) {
    bench.pass_until(bench.now + kSecond);
    bench.ready(0);
    ASSERT_EQ(bench.probes.size(), death);
    bench.die(0, SIGSEGV);
  }
  bench.pass_until(bench.now + kSecond);
  bench.ready(0);
  const Error refusal{ErrorCode::internal, "no memory"};
  const SendBatch probe = bench.probes.back();
  bench.core.on_batch_done(bench.now, 0, probe.incarnation, probe.batch, 0, &refusal);
  bench.take();
  ASSERT_EQ(bench.kills.size(), 1U);
  bench.exit(0, {ExitReport::Kind::signal, SIGKILL, false, ""});
  ASSERT_EQ(bench.batches.size(), 1U);

  bench.probes_pass = true;  // mended: the text is tried alone, and is innocent
  bench.pass_until(bench.now + 2 * kSecond);
  bench.ready(0);
  ASSERT_EQ(bench.batches.size(), 2U);
  bench.done(bench.batches.back());
  EXPECT_EQ(bench.answers.size(), 1U);
  EXPECT_TRUE(bench.refusals.empty());
}

TEST(CoreFaults, OutOfMemoryHalvesTheBatch) {
  Bench bench(replicas(1));
  bench.request(1, texts(8, 50));
  bench.ready(0);
  ASSERT_EQ(bench.batches[0].items.size(), 8U);
  bench.die(0, SIGKILL, true);
  bench.pass_until(kSecond);
  bench.ready(0);
  ASSERT_EQ(bench.batches.back().items.size(), 4U);
  bench.done(bench.batches.back());
  EXPECT_EQ(bench.batches.back().items.size(), 4U);
  bench.done(bench.batches.back());
  EXPECT_EQ(bench.answers.size(), 1U);
}

TEST(CoreFaults, ABatchThatTheReplicaRefusesIsHalvedDownToTheText) {
  Bench bench(replicas(2));
  bench.request(1, texts(4, 50));
  bench.request(2, texts(4, 50));
  bench.ready(0);
  bench.ready(1);
  for (std::size_t next = 0; next < bench.batches.size() && next < 100; ++next) {
    const SendBatch batch = bench.batches[next];
    const bool bad =
        std::find(batch.items.begin(), batch.items.end(), ItemRef{2, 1}) != batch.items.end();
    bad ? bench.fail(batch, "no memory") : bench.done(batch);
  }
  expect_only_poison_refused(bench, 2, 1);
}

TEST(CoreFaults, ADeadReplicasCompleteRequestsAreAnswered) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(1, {16});
  const SendBatch& batch = bench.batches.at(0);
  bench.core.on_items_done(0, 0, 1, batch.batch, 0, 1);
  bench.take();
  EXPECT_TRUE(bench.answers.empty()) << "waits for the compute time";
  bench.die(0, SIGSEGV);
  ASSERT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.answers[0].compute_us, 0);
}

TEST(CoreFaults, ACrashLoopBacksOffAndBreaks) {
  Bench bench(replicas(1));
  for (int i = 0; i < 4; ++i) {
    bench.exit(0, {ExitReport::Kind::exit_code, 1, false, "no weights"});
    EXPECT_EQ(bench.state(0), ReplicaState::backoff);
    bench.pass_until(bench.now + 2 * kSecond);
    EXPECT_EQ(bench.state(0), ReplicaState::starting);
  }
  bench.exit(0, {ExitReport::Kind::spawn_failed, 0, false, ""});
  EXPECT_EQ(bench.state(0), ReplicaState::broken);
  bench.pass_until(bench.now + 30 * kSecond);
  EXPECT_EQ(bench.state(0), ReplicaState::starting) << "half open";
}

TEST(CoreFaults, AStartThatTakesTooLongIsKilled) {
  Bench bench(replicas(1));
  bench.pass_until(60 * kSecond);
  ASSERT_EQ(bench.kills.size(), 1U);
  bench.die(0, SIGKILL);
  EXPECT_EQ(bench.state(0), ReplicaState::backoff) << "a failed start";
}

TEST(CoreFaults, IgnoresLateAndForeignNews) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(1, texts(2, 16));
  const SendBatch batch = bench.batches.at(0);
  bench.core.on_items_done(0, 0, 1, batch.batch, 7, 3);            // outside the batch
  bench.core.on_items_done(0, 0, 1, batch.batch, 1, 0xffffffffU);  // runs over its end
  bench.core.on_items_done(0, 0, 9, batch.batch, 0, 2);            // another incarnation
  bench.core.on_items_done(0, 5, 1, batch.batch, 0, 2);            // no such replica
  bench.core.on_batch_done(0, 0, 1, 999, 10, nullptr);             // no such batch
  bench.core.on_batch_done(0, 0, 9, batch.batch, 10, nullptr);     // another incarnation
  bench.core.on_replica_exit(0, 0, 9, {});
  bench.core.on_replica_ready(0, 0, 1, {1, 1});
  bench.core.on_cancel(0, 77);
  bench.take();
  EXPECT_EQ(bench.state(0), ReplicaState::ready);
  EXPECT_TRUE(bench.answers.empty());
  bench.done(batch);
  EXPECT_EQ(bench.answers.size(), 1U);
  bench.die(0, SIGKILL);
  bench.core.on_replica_ready(0, 0, 1, {1, 1});  // the dead one's, delivered late
  bench.core.on_progress(0, 0, 1, {1, 0, true});
  bench.take();
  EXPECT_EQ(bench.state(0), ReplicaState::starting);
  EXPECT_TRUE(bench.kills.empty());
}

TEST(CoreFaults, WithoutAnyReplicaForTenSecondsRequestsAreRefused) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.ready(1);
  bench.die(0, SIGSEGV);
  bench.tick_at(5 * kSecond);
  bench.die(1, SIGKILL);
  bench.request(1, {16});
  bench.pass_until(15 * kSecond - 1);
  EXPECT_TRUE(bench.refusals.empty());
  bench.pass_until(15 * kSecond);
  EXPECT_EQ(bench.refusals.at(1).code, ErrorCode::unavailable);
  EXPECT_GT(bench.refusals.at(1).retry_after_s, 0);
  bench.request(2, {16});
  EXPECT_EQ(bench.refusals.at(2).code, ErrorCode::unavailable) << "at once";
  EXPECT_FALSE(bench.core.admit(bench.now, 0, 16).ok());
  bench.ready(1);
  bench.request(3, {16});
  EXPECT_EQ(bench.refusals.count(3), 0U);
}

TEST(CoreFaults, DrainFinishesWhatIsOpenThenStops) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.request(1, {16});
  bench.core.on_drain(0);
  bench.request(2, {16});
  EXPECT_EQ(bench.refusals.at(2).code, ErrorCode::unavailable);
  EXPECT_FALSE(bench.core.drained());
  EXPECT_TRUE(bench.stops.empty());
  bench.die(0, SIGKILL);  // even now nothing is lost
  bench.ready(0);
  bench.done(bench.batches.back());
  EXPECT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.stops.size(), 2U);
  EXPECT_TRUE(bench.core.drained());
  const std::size_t starts = bench.starts.size();
  bench.exit(0, {ExitReport::Kind::exit_code, 0, false, ""});
  bench.pass_until(100 * kSecond);
  EXPECT_EQ(bench.starts.size(), starts);
}

}  // namespace
}  // namespace sheaf::core
