#include "core/inquest.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace sheaf::core {
namespace {

CoreOptions options_of(std::uint32_t replicas) {
  CoreOptions options;
  options.models.resize(1);
  options.models[0].replicas = replicas;
  return options;
}

// Replicas that are ready and have finished a batch, an inquest, and what the pool does for it.
struct Court {
  explicit Court(std::uint32_t count) : replicas(options_of(count), 0, 0, seeds, outbox) {
    for (std::uint32_t i = 0; i < count; ++i) ready(i);
  }
  void ready(std::uint32_t replica) {
    replicas.start(0, replica);
    replicas[replica].supervisor.ready();
    replicas[replica].supervisor.batch_finished(0);
    replicas[replica].limits = {16'384, 4'096};
  }
  void die(std::uint32_t replica) {
    replicas[replica].supervisor.ended(0, true);
    replicas[replica].flight.take_all();
    inquest.replica_ended(replica);
  }
  std::vector<QueuedItem> request(RequestId id, const std::vector<std::uint32_t>& tokens) {
    RequestSpec spec;
    spec.id = id;
    spec.item_tokens = tokens;
    requests.add(0, spec, {0, 0, id});
    std::vector<QueuedItem> items;
    for (std::uint32_t i = 0; i < tokens.size(); ++i) items.push_back({{id, i}, tokens[i]});
    return items;
  }
  std::optional<Inquest::Verdict> accuse(std::uint32_t replica, std::vector<QueuedItem> items,
                                         bool alone, Blame blame = Blame::suspected) {
    return inquest.accuse(0, {replica, std::move(items), alone, blame, "signal 11"});
  }
  // The next trial, as sent; one must be due.
  Inquest::Trial send_next() {
    auto trial = inquest.next(0);
    EXPECT_TRUE(trial.has_value());
    if (!trial) return {};
    Batch batch;
    batch.id = next_batch++;
    batch.items = trial->items;
    replicas[trial->witness].flight.add(0, batch);
    return *trial;
  }
  void finish(std::uint32_t replica) {
    Flight& flight = replicas[replica].flight;
    ASSERT_FALSE(flight.empty());
    flight.finish(0, flight.oldest().id);
    inquest.batch_ended(replica);
  }

  Random seeds{1};
  Outbox outbox;
  Replicas replicas;
  OpenRequests requests;
  Inquest inquest{requests, replicas};
  BatchId next_batch = 1;
};

TEST(Inquest, TriesHalvesByTokensAndKeepsEveryItem) {
  struct Case {
    std::vector<std::uint32_t> tokens;
    std::vector<std::size_t> sizes;  // of the trials
  };
  for (const Case& c :
       {Case{{10, 10, 10, 10}, {2, 2}}, Case{{100, 10, 10, 10}, {1, 3}},
        Case{{10, 10, 10, 100}, {3, 1}}, Case{{10, 10}, {1, 1}}, Case{{10}, {1}}, Case{{}, {}}}) {
    Court court(1);
    EXPECT_FALSE(court.accuse(0, court.request(1, c.tokens), false, Blame::too_large));
    std::uint32_t next = 0;
    for (const std::size_t size : c.sizes) {
      const Inquest::Trial trial = court.send_next();
      ASSERT_EQ(trial.items.size(), size);
      for (const QueuedItem& item : trial.items) EXPECT_EQ(item.ref.index, next++);
      court.finish(0);
    }
    EXPECT_EQ(next, c.tokens.size());
    EXPECT_FALSE(court.inquest.next(0));
  }
}

TEST(Inquest, HalvesAgainForASmallerWitness) {
  Court court(1);
  court.replicas[0].limits = {100, 3};
  court.accuse(0, court.request(1, {40, 40, 40, 40, 5, 5, 5, 5}), false, Blame::too_large);
  std::vector<std::size_t> sizes;
  for (; sizes.size() < 5; court.finish(0)) {
    const Inquest::Trial trial = court.send_next();
    std::uint64_t tokens = 0;
    for (const QueuedItem& item : trial.items) tokens += item.tokens;
    EXPECT_LE(tokens, 100U);
    sizes.push_back(trial.items.size());
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{2, 1, 1, 2, 2}));
  EXPECT_FALSE(court.inquest.next(0));
}

TEST(Inquest, TriesSuspectsOneByOneAndReservesTheWitness) {
  Court court(1);
  court.accuse(0, court.request(1, {10, 20}), false);
  EXPECT_EQ(court.send_next().items.at(0).ref, (ItemRef{1, 0}));
  EXPECT_TRUE(court.inquest.has_reserved(0));
  EXPECT_FALSE(court.inquest.next(0)) << "one trial at a time";
  court.finish(0);
  EXPECT_EQ(court.send_next().items.at(0).ref, (ItemRef{1, 1}));
  court.finish(0);
  EXPECT_FALSE(court.inquest.next(0));
  EXPECT_FALSE(court.inquest.has_reserved(0));
}

TEST(Inquest, WaitsUntilTheWitnessHasNothingElse) {
  Court court(1);
  Batch batch;
  batch.id = 99;
  court.replicas[0].flight.add(0, batch);
  court.accuse(0, court.request(1, {10}), false);
  EXPECT_FALSE(court.inquest.next(0));
  EXPECT_TRUE(court.inquest.has_reserved(0));
  court.finish(0);
  EXPECT_EQ(court.send_next().items.size(), 1U);
}

TEST(Inquest, ProbesAWitnessThatHasNotWorked) {
  Court court(1);
  court.accuse(0, court.request(1, {10}), false);
  court.replicas.start(0, 0);
  court.replicas[0].supervisor.ready();
  EXPECT_TRUE(court.send_next().items.empty());
  EXPECT_FALSE(court.inquest.next(0)) << "the probe is out";
  court.replicas[0].supervisor.batch_finished(0);
  court.finish(0);
  EXPECT_EQ(court.send_next().items.size(), 1U);
}

TEST(Inquest, TheSecondStrikeIsAVerdictByAnotherWitnessIfThereIsOne) {
  for (const std::uint32_t count : {1U, 2U}) {
    Court court(count);
    const std::vector<QueuedItem> items = court.request(1, {10, 20});
    court.accuse(0, items, false);
    court.send_next();
    court.finish(0);  // the first is innocent
    const std::uint32_t first = court.send_next().witness;
    court.die(first);
    EXPECT_FALSE(court.accuse(first, {items[1]}, true));
    if (count == 1) court.ready(first);
    const Inquest::Trial again = court.send_next();
    EXPECT_EQ(again.items.at(0).ref, (ItemRef{1, 1}));
    EXPECT_EQ(again.witness == first, count == 1);
    court.die(again.witness);
    const auto verdict = court.accuse(again.witness, {items[1]}, true);
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->request, 1U);
    EXPECT_EQ(verdict->error.code, ErrorCode::poisonous);
    EXPECT_EQ(verdict->error.param, "input[1]");
    EXPECT_NE(verdict->error.message.find("signal 11"), std::string::npos);
  }
}

TEST(Inquest, ATextStruckOnceIsTriedBeforeOtherSuspects) {
  Court court(2);
  const std::vector<QueuedItem> items = court.request(1, {10, 20});
  court.accuse(0, items, false);
  const Inquest::Trial trial = court.send_next();
  court.finish(trial.witness);  // refused the batch, and lives
  EXPECT_FALSE(court.accuse(trial.witness, trial.items, true));
  const Inquest::Trial next = court.send_next();
  EXPECT_EQ(next.items.at(0).ref, trial.items.at(0).ref);
  EXPECT_NE(next.witness, trial.witness);
}

// Five failures open the breaker of a replica that had not worked since its start.
TEST(Inquest, ForgivesTheReplicasThatFellOverTheGuilty) {
  Court court(1);
  const std::vector<QueuedItem> items = court.request(1, {10});
  const auto fail_to_start = [&court](int times) {
    for (int i = 0; i < times; ++i) {
      court.replicas.start(0, 0);
      court.replicas[0].supervisor.ended(0, true);
    }
  };
  for (const bool alone : {false, true}) {
    court.die(0);
    EXPECT_FALSE(court.accuse(0, items, alone));
    court.ready(0);
  }
  court.die(0);
  EXPECT_TRUE(court.accuse(0, items, true));
  fail_to_start(4);
  EXPECT_EQ(court.replicas[0].supervisor.state(), ReplicaState::backoff) << "three are forgiven";
  fail_to_start(1);
  EXPECT_EQ(court.replicas[0].supervisor.state(), ReplicaState::broken);
}

TEST(Inquest, DropsWhatNobodyWaitsFor) {
  Court court(1);
  const std::vector<QueuedItem> gone = court.request(1, {5, 5});
  court.accuse(0, {gone[0]}, false);
  const std::vector<QueuedItem> stays = court.request(2, {5});
  court.accuse(0, {gone[1], stays[0]}, false, Blame::too_large);
  court.requests.remove(*court.requests.find(1));
  court.inquest.forget(1);
  EXPECT_EQ(court.send_next().items.at(0).ref, (ItemRef{2, 0}));
  court.finish(0);
  EXPECT_FALSE(court.inquest.next(0));
}

}  // namespace
}  // namespace sheaf::core
