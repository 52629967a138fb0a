#include "core/core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "core/core_test_bench.h"

namespace sheaf::core {
namespace {

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

// The requests in the order in which their texts were sent.
std::vector<RequestId> order_sent(const Bench& bench) {
  std::vector<RequestId> order;
  for (const SendBatch& batch : bench.batches)
    for (const ItemRef& item : batch.items) order.push_back(item.request);
  return order;
}

// Lets all that waits be done, `batch_us` a batch.
void finish_all(Bench& bench, TimeUs batch_us) {
  for (std::size_t next = bench.answers.size(); next < bench.batches.size(); ++next) {
    bench.now += batch_us;
    bench.done(bench.batches[next], batch_us);
  }
}

TEST(Core, AQueryIsNotKeptByAStreamBeforeIt) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  for (RequestId id = 1; id <= 100; ++id) bench.message(id, 100);  // 2 s of work
  ASSERT_EQ(order_sent(bench), (std::vector<RequestId>{1}));
  bench.now = 1'000;
  bench.request(500, {100});  // as long as a message: it is the stream that is long
  bench.request(501, {10});
  finish_all(bench, 20'000);
  const std::vector<RequestId> order = order_sent(bench);
  ASSERT_EQ(order.size(), 102U);
  EXPECT_EQ(order[1], 501U);
  EXPECT_EQ(order[2], 500U);
  EXPECT_TRUE(std::is_sorted(order.begin() + 3, order.end())) << "messages keep their order";
}

TEST(Core, AStreamOfOneMessageAtATimeIsLikeQueries) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  bench.request(1, {100});
  bench.message(2, 50);
  bench.request(3, {50});
  finish_all(bench, 20'000);
  EXPECT_EQ(order_sent(bench), (std::vector<RequestId>{1, 2, 3}));
}

TEST(Core, AStreamIsNotKeptForEverByQueriesAfterIt) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  for (RequestId id = 1; id <= 10; ++id) bench.message(id, 100);  // 0.2 s of work: due by 0.6 s
  RequestId query = 1'000;
  for (std::size_t next = 0; next < bench.batches.size() && bench.now < 2 * kSecond; ++next) {
    for (int i = 0; i < 2; ++i) bench.request(query++, {100});  // twice what the replica can do
    bench.now += 20'000;
    bench.done(bench.batches[next], 20'000);
  }
  const auto messages = std::count_if(bench.answers.begin(), bench.answers.end(),
                                      [](const Answer& answer) { return answer.request <= 10; });
  EXPECT_EQ(messages, 10);
}

TEST(Core, AStreamsDeadlineLeavesItsMessagesInOrder) {
  ModelOptions model = replicas(1);
  model.max_batch_tokens = 100;
  Bench bench(model);
  bench.ready(0);
  // The more the stream has open, the earlier it must begin to end by its deadline.
  for (RequestId id = 1; id <= 50; ++id) bench.message(id, 100, 3 * kSecond / 2);
  finish_all(bench, 20'000);
  const std::vector<RequestId> order = order_sent(bench);
  EXPECT_EQ(order.size(), 50U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
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

TEST(Core, HalfOfTheQueueIsKeptFromStreams) {
  ModelOptions model = replicas(1);
  model.queue_tokens_max = 1'000;
  Bench bench(model);
  for (RequestId id = 1; id <= 6; ++id) bench.message(id, 100);
  EXPECT_EQ(bench.refusals.size(), 1U);
  EXPECT_EQ(bench.refusals.at(6).code, ErrorCode::overloaded);
  EXPECT_EQ(bench.core.admit(0, 0, 1, 1).error().code, ErrorCode::overloaded);
  EXPECT_TRUE(bench.core.admit(0, 0, 500, 2).ok()) << "a stream may always have one";
  EXPECT_TRUE(bench.core.admit(0, 0, 500).ok());
  bench.request(7, texts(5, 100));
  EXPECT_EQ(bench.refusals.size(), 1U);
  EXPECT_EQ(bench.core.admit(0, 0, 1, 2).error().code, ErrorCode::overloaded) << "one that fits";
  for (RequestId id = 1; id <= 5; ++id) bench.core.on_cancel(0, id);
  EXPECT_TRUE(bench.core.admit(0, 0, 500, 1).ok()) << "it has none open any more";
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
