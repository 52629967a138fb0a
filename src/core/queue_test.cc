#include "core/queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

#include "core/random.h"

namespace sheaf::core {
namespace {

Queue::Place place(RequestId request, TenantId tenant = 0, TimeUs due_us = 100) {
  return {tenant, due_us, request};
}

std::vector<QueuedItem> items(RequestId request, std::uint32_t count, std::uint32_t tokens = 10) {
  std::vector<QueuedItem> made;
  for (std::uint32_t i = 0; i < count; ++i) made.push_back({{request, i}, tokens});
  return made;
}

std::vector<RequestId> drain(Queue& queue) {
  std::vector<RequestId> order;
  while (!queue.empty()) order.push_back(queue.pop().ref.request);
  return order;
}

TEST(Queue, OrdersByDeadlineThenById) {
  Queue queue;
  queue.push(place(3, 0, 100), items(3, 1));
  queue.push(place(1, 0, 100), items(1, 2));
  queue.push(place(2, 0, 50), items(2, 1));
  EXPECT_EQ(queue.items(), 4U);
  EXPECT_EQ(queue.tokens(), 40U);
  EXPECT_EQ(drain(queue), (std::vector<RequestId>{2, 1, 1, 3}));
  EXPECT_EQ(queue.tokens(), 0U);
}

TEST(Queue, ReturnedItemsGoBeforeEverybody) {
  Queue queue;
  queue.push(place(1, 0, 10), items(1, 1));
  queue.push_front(place(2, 1, 99), {{2, 7}, 5});
  EXPECT_EQ(queue.front().ref, (ItemRef{2, 7}));
  EXPECT_EQ(drain(queue), (std::vector<RequestId>{2, 1}));
}

TEST(Queue, SharesTokensEvenlyBetweenTenants) {
  Queue queue;
  queue.push(place(1, 1), items(1, 100, 10));  // many short texts, and first
  queue.push(place(2, 2), items(2, 10, 100));  // few long ones
  std::map<RequestId, std::uint64_t> tokens;
  while (queue.tokens_of(1) > 0 && queue.tokens_of(2) > 0) {
    const QueuedItem item = queue.pop();
    tokens[item.ref.request] += item.tokens;
    const auto apart = std::int64_t(tokens[1]) - std::int64_t(tokens[2]);
    EXPECT_LE(std::abs(apart), 110);
  }
}

TEST(Queue, ATenantWhoWasAwayNeitherSavesTurnsNorEscapesDebts) {
  Queue queue;
  queue.push(place(1, 1), items(1, 60));
  for (int i = 0; i < 50; ++i) queue.pop();
  queue.push(place(2, 2), items(2, 60));  // new: starts at the present, no 50 turns of backlog
  std::map<RequestId, int> turns;
  for (int i = 0; i < 10; ++i) ++turns[queue.pop().ref.request];
  EXPECT_NEAR(turns[1], 5, 1);

  Queue debts;
  debts.push(place(1, 1), items(1, 2, 1'000));
  debts.push(place(2, 2), items(2, 300, 10));
  while (debts.tokens_of(1) > 0) debts.pop();
  debts.push(place(3, 1), items(3, 1, 10));  // 2,000 tokens were just given to this tenant
  EXPECT_EQ(debts.pop().ref.request, 2U);
}

TEST(Queue, RemovesARequestWhereverItsItemsStand) {
  Queue queue;
  queue.push(place(1, 1), items(1, 5));
  queue.push(place(2, 2), items(2, 1));
  queue.push_front(place(1, 1), {{1, 9}, 10});
  queue.pop();
  queue.push_front(place(1, 1), {{1, 9}, 10});
  queue.remove(place(1, 1));
  queue.remove(place(1, 1));   // again: nothing
  queue.remove(place(77, 5));  // unknown: nothing
  EXPECT_EQ(queue.items(), 1U);
  EXPECT_EQ(queue.tokens(), 10U);
  EXPECT_EQ(queue.tenants(), 1U);
  EXPECT_EQ(drain(queue), (std::vector<RequestId>{2}));
}

TEST(Queue, CountsWhatIsBeforeAPlace) {
  Queue queue;
  queue.push(place(1, 1, 100), items(1, 3));
  queue.push(place(2, 1, 200), items(2, 5));
  queue.push(place(3, 2, 50), items(3, 7));
  queue.pop();  // one of each tenant
  queue.pop();
  EXPECT_EQ(queue.tokens_before(place(9, 1, 100)), 20U);
  EXPECT_EQ(queue.tokens_before(place(0, 1, 100)), 0U);
  EXPECT_EQ(queue.tokens_before(place(9, 1, 201)), 70U);
  EXPECT_EQ(queue.tokens_before(place(9, 3, 999)), 0U);
}

TEST(Queue, MovesAllToAnother) {
  Queue from, to;
  from.push(place(1), items(1, 3));
  from.pop();
  from.push_front(place(1), {{1, 0}, 10});
  to.push(place(2), items(2, 1));
  from.move_all_to(to);
  EXPECT_TRUE(from.empty());
  EXPECT_EQ(from.tokens(), 0U);
  EXPECT_EQ(to.items(), 4U);
  EXPECT_EQ(drain(to), (std::vector<RequestId>{1, 1, 1, 2}));
}

// Against a model that is obviously right about what is in the queue, if not about the order.
TEST(Queue, CountsRightUnderRandomUse) {
  Random random(1);
  Queue queue;
  std::map<RequestId, std::pair<Queue::Place, std::uint64_t>> waiting;  // items
  std::uint64_t total = 0;
  for (RequestId id = 1; id < 5'000; ++id) {
    const auto count = static_cast<std::uint32_t>(random.between(1, 5));
    const Queue::Place where =
        place(id, static_cast<TenantId>(random.below(4)), random.between(1, 50));
    queue.push(where, items(id, count));
    waiting[id] = {where, count};
    total += count;
    for (std::uint64_t i = random.below(7); i > 0 && !queue.empty(); --i) {
      --waiting.at(queue.pop().ref.request).second;
      --total;
    }
    if (random.chance(0.2)) {
      const auto& [removed, count_left] = waiting.at(1 + random.below(id));
      queue.remove(removed);
      total -= count_left;
      waiting.at(removed.request).second = 0;
    }
    ASSERT_EQ(queue.items(), total);
    ASSERT_EQ(queue.tokens(), total * 10);
  }
}

}  // namespace
}  // namespace sheaf::core
