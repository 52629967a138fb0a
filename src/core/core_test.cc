#include "core/core.h"

#include <gtest/gtest.h>

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
    for (Action& action : core.take_actions()) {
      if (auto* sent = std::get_if<SendBatch>(&action)) batches.push_back(*sent);
      if (auto* cancel = std::get_if<CancelBatch>(&action)) cancels.push_back(*cancel);
      if (auto* answer = std::get_if<Answer>(&action)) answers.push_back(*answer);
      if (auto* refuse = std::get_if<Refuse>(&action)) refusals[refuse->request] = refuse->error;
      if (auto* start = std::get_if<StartReplica>(&action)) starts.push_back(*start);
      if (auto* stop = std::get_if<StopReplica>(&action)) stops.push_back(*stop);
      if (auto* kill = std::get_if<KillReplica>(&action)) kills.push_back(*kill);
    }
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
  std::vector<SendBatch> batches;
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

}  // namespace
}  // namespace sheaf::core
