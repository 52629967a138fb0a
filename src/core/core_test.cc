#include "core/core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <string>
#include <vector>

namespace sheaf::core {
namespace {

constexpr TimeUs kSecond = 1'000'000;

// A core and what it has asked for so far; time is what the test says.
struct Bench {
  explicit Bench(ModelOptions model) : core(options_of(model)) {
    core.start(now);
    take();
  }
  static CoreOptions options_of(const ModelOptions& model) {
    CoreOptions options;
    options.models = {model};
    return options;
  }

  void take() {
    std::vector<SendBatch> new_probes;
    for (Action& action : core.take_actions()) {
      if (auto* sent = std::get_if<SendBatch>(&action))
        (sent->items.empty() ? new_probes : batches).push_back(*sent);
      if (auto* cancel = std::get_if<CancelBatch>(&action)) cancels.push_back(*cancel);
      if (auto* answer = std::get_if<Answer>(&action)) answers.push_back(*answer);
      if (auto* refuse = std::get_if<Refuse>(&action)) refusals[refuse->request] = refuse->error;
      if (auto* start = std::get_if<StartReplica>(&action)) starts.push_back(*start);
      if (auto* stop = std::get_if<StopReplica>(&action)) stops.push_back(*stop);
      if (auto* kill = std::get_if<KillReplica>(&action)) kills.push_back(*kill);
    }
    probes.insert(probes.end(), new_probes.begin(), new_probes.end());
    if (!probes_pass) return;
    for (const SendBatch& probe : new_probes) done(probe, 100);
  }
  Incarnation incarnation(ReplicaId replica) { return core.replica_status(replica).incarnation; }
  ReplicaState state(ReplicaId replica) { return core.replica_status(replica).state; }

  void ready(ReplicaId replica, std::uint32_t tokens = 16'384, std::uint32_t items = 4'096) {
    core.on_replica_ready(now, replica, incarnation(replica), {tokens, items});
    take();
  }
  void request(RequestId id, std::vector<std::uint32_t> tokens, TimeUs deadline_us = 300 * kSecond,
               TenantId tenant = 0) {
    RequestSpec spec;
    spec.id = id;
    spec.tenant = tenant;
    spec.deadline_us = deadline_us;
    spec.item_tokens = std::move(tokens);
    core.on_request(now, std::move(spec));
    take();
  }
  void done(const SendBatch& batch, TimeUs compute_us = 10'000) {
    core.on_items_done(now, batch.replica, batch.incarnation, batch.batch, 0,
                       static_cast<std::uint32_t>(batch.items.size()));
    core.on_batch_done(now, batch.replica, batch.incarnation, batch.batch, compute_us, nullptr);
    take();
  }
  void fail(const SendBatch& batch, const std::string& message) {
    const Error error{ErrorCode::internal, message};
    core.on_batch_done(now, batch.replica, batch.incarnation, batch.batch, 0, &error);
    take();
  }
  void die(ReplicaId replica, int signal, bool out_of_memory = false) {
    exit(replica, {ExitReport::Kind::signal, signal, out_of_memory, ""});
  }
  void exit(ReplicaId replica, const ExitReport& report) {
    core.on_replica_exit(now, replica, incarnation(replica), report);
    take();
  }
  void sample(ReplicaId replica, const ProgressSample& sample) {
    core.on_progress(now, replica, incarnation(replica), sample);
    take();
  }
  void tick() {
    core.on_tick(now);
    take();
  }
  void tick_at(TimeUs time_us) {
    now = time_us;
    tick();
  }
  // Lets time pass tick by tick until `time_us`.
  void pass_until(TimeUs time_us) {
    while (core.next_tick_us() <= time_us) tick_at(std::max(now, core.next_tick_us()));
    now = time_us;
  }

  TimeUs now = 0;
  Core core;
  std::vector<SendBatch> batches;  // with items
  std::vector<SendBatch> probes;
  bool probes_pass = true;
  std::vector<CancelBatch> cancels;
  std::vector<Answer> answers;
  std::map<RequestId, Error> refusals;
  std::vector<StartReplica> starts;
  std::vector<StopReplica> stops;
  std::vector<KillReplica> kills;
};

ModelOptions replicas(std::uint32_t count, Policy policy = Policy::predictive) {
  ModelOptions model;
  model.replicas = count;
  model.policy = policy;
  return model;
}

TEST(Core, AnswersARequestOnceWithItsTimes) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(7, {16});
  ASSERT_EQ(bench.batches.size(), 1U);
  EXPECT_EQ(bench.batches[0].items, (std::vector<ItemRef>{{7, 0}}));
  EXPECT_EQ(bench.batches[0].tokens, 16U);
  bench.now = 500;
  bench.done(bench.batches[0], 400);
  bench.done(bench.batches[0], 400);  // a repeated frame
  ASSERT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.answers[0].request, 7U);
  EXPECT_EQ(bench.answers[0].queue_us, 0);
  EXPECT_EQ(bench.answers[0].compute_us, 400);
  EXPECT_EQ(bench.answers[0].attempts, 1U);
  EXPECT_EQ(bench.core.open_requests(), 0U);
}

TEST(Core, AQueryIsNotKeptByAnUploadBeforeIt) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  bench.request(1, std::vector<std::uint32_t>(500, 50));  // 5 s of work
  bench.now = 1'000;
  bench.request(2, std::vector<std::uint32_t>(500, 50));  // the next upload waits its turn
  bench.request(3, {10});
  bench.request(4, {12});
  const std::size_t sent = bench.batches.size();
  bench.done(bench.batches.front());
  ASSERT_GT(bench.batches.size(), sent);
  const std::vector<ItemRef>& next = bench.batches[sent].items;
  ASSERT_GE(next.size(), 3U);
  EXPECT_EQ(next[0], (ItemRef{3, 0}));
  EXPECT_EQ(next[1], (ItemRef{4, 0}));
  EXPECT_EQ(next[2].request, 1U);
}

TEST(Core, ADeadlineIsEarlierThanPatience) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  bench.request(1, std::vector<std::uint32_t>(4, 100));
  bench.request(2, std::vector<std::uint32_t>(40, 100));             // 0.8 s of work at 5,000/s
  bench.request(3, std::vector<std::uint32_t>(50, 100), 2'000'000);  // due at 1 s, not at 3
  for (std::size_t i = 0; i < bench.batches.size() && i < 10; ++i)
    bench.done(bench.batches[i], 20'000);
  ASSERT_GE(bench.batches.size(), 7U);
  EXPECT_EQ(bench.batches[6].items[0].request, 3U);
}

TEST(Core, RequestsWaitForTheFirstReadyReplica) {
  Bench bench(replicas(1));
  bench.request(1, {16});
  EXPECT_TRUE(bench.batches.empty());
  bench.now = 3 * kSecond;
  bench.ready(0);
  ASSERT_EQ(bench.batches.size(), 1U);
  bench.done(bench.batches[0]);
  EXPECT_EQ(bench.answers.at(0).queue_us, 3 * kSecond);
}

TEST(Core, AKilledReplicaLosesNothingAndReturnsAtOnce) {
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

std::vector<std::uint32_t> texts(std::size_t count, std::uint32_t tokens) {
  return std::vector<std::uint32_t>(count, tokens);
}

// ---- batches and balance

TEST(Core, SplitsARequestEvenlyBetweenIdleReplicas) {
  for (const Policy policy : {Policy::predictive, Policy::least_loaded}) {
    Bench bench(replicas(2, policy));
    bench.ready(0);
    bench.ready(1);
    bench.request(1, texts(16, 50));
    ASSERT_EQ(bench.batches.size(), 2U);
    EXPECT_NE(bench.batches[0].replica, bench.batches[1].replica);
    EXPECT_EQ(bench.batches[0].items.size() + bench.batches[1].items.size(), 16U);
    EXPECT_NEAR(double(bench.batches[0].items.size()), 8, 1);
    bench.done(bench.batches[0]);
    EXPECT_TRUE(bench.answers.empty());
    bench.done(bench.batches[1]);
    EXPECT_EQ(bench.answers.size(), 1U);
  }
}

TEST(Core, ALoneShortTextIsNotDelayed) {
  Bench bench(replicas(2));
  bench.ready(0);
  bench.ready(1);
  for (RequestId id = 1; id <= 3; ++id) bench.request(id, {16});
  // Two replicas are idle, and the third text can follow within the lead time of a 3 ms batch.
  EXPECT_EQ(bench.batches.size(), 3U);
}

TEST(Core, SendsTheSecondBatchLateButBeforeTheFirstIsDone) {
  ModelOptions model = replicas(1);
  model.initial_tokens_per_s = 10'000;
  model.max_batch_tokens = 1'000;
  Bench bench(model);
  bench.ready(0);
  bench.request(1, texts(10, 100));  // 100 ms
  bench.request(2, texts(1, 100));
  ASSERT_EQ(bench.batches.size(), 1U);
  EXPECT_EQ(bench.core.next_tick_us(), 90'000);
  bench.tick_at(89'999);
  EXPECT_EQ(bench.batches.size(), 1U);
  bench.request(3, texts(1, 100));  // came in time to join
  bench.tick_at(90'000);
  ASSERT_EQ(bench.batches.size(), 2U);
  EXPECT_EQ(bench.batches[1].items, (std::vector<ItemRef>{{2, 0}, {3, 0}}));
}

TEST(Core, NeverHasMoreThanTwoBatchesInFlightNorLargerOnesThanTheReplicaTakes) {
  Bench bench(replicas(1));
  bench.ready(0, 600, 3);
  bench.request(1, texts(100, 10));
  for (std::size_t next = 0; next < bench.batches.size(); ++next) {
    EXPECT_LE(bench.core.replica_status(0).batches_in_flight, 2U);
    EXPECT_LE(bench.batches[next].items.size(), 3U);
    EXPECT_LE(bench.batches[next].tokens, 600U);
    bench.now += 1'000;
    bench.done(bench.batches[next], 1'000);
  }
  EXPECT_EQ(bench.answers.size(), 1U);
}

TEST(Core, LearnsTheBatchSizeFromTheRate) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(1, texts(1'000, 50));
  for (std::size_t next = 0; next < bench.batches.size(); ++next) {
    const TimeUs compute_us = bench.batches[next].tokens * 1'000'000LL / 20'000;
    bench.now += compute_us;
    bench.done(bench.batches[next], compute_us);
  }
  EXPECT_EQ(bench.answers.size(), 1U);
  EXPECT_NEAR(bench.core.replica_status(0).tokens_per_s, 20'000, 500);
  EXPECT_EQ(bench.batches[0].tokens, 500U) << "100 ms at the guess of 5,000 tokens/s";
  EXPECT_NEAR(bench.batches[5].tokens, 2'000, 50) << "100 ms at the learnt rate";
}

TEST(Core, SharesFairlyBetweenTenants) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 512;
  Bench bench(model);
  bench.request(1, texts(1'000, 100), 300 * kSecond, 1);
  bench.request(2, texts(3, 100), 300 * kSecond, 2);  // behind 100,000 tokens of another's
  bench.ready(0);
  for (std::size_t next = 0; next < 3; ++next) {
    bench.now += 100'000;
    bench.done(bench.batches.at(next), 100'000);
  }
  ASSERT_EQ(bench.answers.size(), 1U);
  EXPECT_EQ(bench.answers[0].request, 2U);
}

TEST(Core, RoundRobinBindsAtArrivalAndGivesBackAtDeath) {
  Bench bench(replicas(2, Policy::round_robin));
  bench.ready(0);
  bench.ready(1);
  for (RequestId id = 1; id <= 8; ++id) bench.request(id, texts(1, 400));
  for (const SendBatch& batch : bench.batches)
    for (const ItemRef& item : batch.items)
      EXPECT_EQ(batch.replica, (item.request - 1) % 2) << "request " << item.request;
  bench.die(0, SIGKILL);
  for (std::size_t next = 0; next < bench.batches.size(); ++next) {
    bench.now += 100'000;
    bench.done(bench.batches[next], 80'000);
  }
  EXPECT_EQ(bench.answers.size(), 8U);
}

// ---- faults

TEST(Core, AStoppedReplicaIsKilledAtOnceAndNobodyIsBlamed) {
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

TEST(Core, KillsHoweverManyInARowAreSurvived) {
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

TEST(Core, ATextThatCrashesIsFoundAndItsNeighboursSucceed) {
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

TEST(Core, ATextThatHangsIsFoundAndItsNeighboursSucceed) {
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

TEST(Core, SuspectsRunOneByOneWithNothingBesideThem) {
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

TEST(Core, TheBatchBehindTheOneThatCrashedIsNotSuspected) {
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

TEST(Core, AReplicaThatFailsItsProbeBlamesNoText) {
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

TEST(Core, OutOfMemoryHalvesTheBatch) {
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

TEST(Core, ABatchThatTheReplicaRefusesIsHalvedDownToTheText) {
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

TEST(Core, ADeadReplicasCompleteRequestsAreAnswered) {
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

TEST(Core, ACrashLoopBacksOffAndBreaks) {
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

TEST(Core, AStartThatTakesTooLongIsKilled) {
  Bench bench(replicas(1));
  bench.pass_until(60 * kSecond);
  ASSERT_EQ(bench.kills.size(), 1U);
  bench.die(0, SIGKILL);
  EXPECT_EQ(bench.state(0), ReplicaState::backoff) << "a failed start";
}

TEST(Core, IgnoresLateAndForeignNews) {
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

// ---- limits

TEST(Core, RefusesAtTheDeadline) {
  Bench bench(replicas(1));
  bench.request(1, {16}, kSecond);
  bench.request(2, {16}, 0);
  EXPECT_EQ(bench.refusals.at(2).code, ErrorCode::deadline_exceeded);
  bench.tick_at(kSecond - 1);
  EXPECT_EQ(bench.refusals.size(), 1U);
  bench.tick_at(kSecond);
  EXPECT_EQ(bench.refusals.at(1).code, ErrorCode::deadline_exceeded);
  bench.ready(0);
  EXPECT_TRUE(bench.batches.empty());
}

TEST(Core, ACancelledRequestLeavesNothingBehind) {
  Bench bench(replicas(1));
  bench.ready(0);
  bench.request(1, texts(10, 50));
  bench.request(2, texts(10, 50));
  bench.core.on_cancel(0, 2);
  EXPECT_EQ(bench.core.model_status(0).queue_items, 0U);
  bench.core.on_cancel(0, 1);
  bench.take();
  ASSERT_EQ(bench.cancels.size(), 1U);
  EXPECT_EQ(bench.cancels[0].batch, bench.batches.at(0).batch);
  bench.done(bench.batches.at(0));
  EXPECT_TRUE(bench.answers.empty());
  EXPECT_EQ(bench.batches.size(), 1U);
}

TEST(Core, TheQueueIsBounded) {
  ModelOptions model = replicas(1);
  model.queue_tokens_max = 1'000;
  Bench bench(model);
  EXPECT_TRUE(bench.core.admit(0, 0, 5'000).ok()) << "larger than the bound, but nothing waits";
  bench.request(1, texts(8, 100));
  EXPECT_TRUE(bench.core.admit(0, 0, 200).ok());
  EXPECT_EQ(bench.core.admit(0, 0, 201).error().code, ErrorCode::overloaded);
  bench.request(2, texts(3, 100));
  EXPECT_EQ(bench.refusals.at(2).code, ErrorCode::overloaded);
  EXPECT_GT(bench.refusals.at(2).retry_after_s, 0);
  EXPECT_EQ(bench.core.model_status(0).queue_tokens, 800U);
}

TEST(Core, WithoutAnyReplicaForTenSecondsRequestsAreRefused) {
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

TEST(Core, DrainFinishesWhatIsOpenThenStops) {
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

TEST(Core, ModelsDoNotShareReplicas) {
  CoreOptions options;
  options.models = {replicas(1), replicas(2)};
  Core core(options);
  core.start(0);
  EXPECT_EQ(core.replica_count(), 3U);
  EXPECT_EQ(core.replica_status(2).model, 1U);
  core.on_replica_ready(0, 0, 1, {1'000, 100});
  core.take_actions();
  RequestSpec spec;
  spec.id = 1;
  spec.model = 1;
  spec.deadline_us = kSecond;
  spec.item_tokens = {5};
  core.on_request(0, spec);
  EXPECT_TRUE(core.take_actions().empty());
  core.on_replica_ready(0, 2, 1, {1'000, 100});
  const auto actions = core.take_actions();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(std::get<SendBatch>(actions[0]).replica, 2U);
}

// Microseconds a request, all in all, when so many wait at once.
double cost_of_a_queue(RequestId requests) {
  const std::int64_t begin_ns = thread_cpu_ns();  // not wall time: other programs run too
  ModelOptions model = replicas(4);
  model.queue_tokens_max = 100'000'000;
  Bench bench(model);
  for (RequestId id = 1; id <= requests; ++id)
    bench.request(id, texts(2, 20), 3'600 * kSecond + TimeUs(id * 7'919 % 1'000), id % 5);
  for (ReplicaId replica = 0; replica < 4; ++replica) bench.ready(replica);
  for (RequestId id = 1; id <= requests; id += 10) bench.core.on_cancel(bench.now, id);
  for (std::size_t next = 0; next < bench.batches.size(); ++next) {
    bench.now += 10;
    bench.done(bench.batches[next], 10'000);
  }
  EXPECT_EQ(bench.answers.size(), requests * 9 / 10);
  return static_cast<double>(thread_cpu_ns() - begin_ns) / 1e3 / static_cast<double>(requests);
}

// Were any event to look at all that waits, a queue of 32 times the length would cost 32 times as
// much a request.
TEST(Core, ALongQueueCostsNoMoreARequest) {
  double least_short = 1e9, least_long = 1e9;  // of several runs: other programs disturb
  for (int run = 0; run < 3; ++run) {
    least_short = std::min(least_short, cost_of_a_queue(1'000));
    least_long = std::min(least_long, cost_of_a_queue(32'000));
  }
  EXPECT_LT(least_long, 16 * least_short);  // the logarithm, and memory that caches do not hold
  RecordProperty("us_a_request", std::to_string(least_long));
}

}  // namespace
}  // namespace sheaf::core
