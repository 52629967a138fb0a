#include "core/open_requests.h"

#include <gtest/gtest.h>

#include <limits>

namespace sheaf::core {
namespace {

void add(OpenRequests& requests, RequestId id, TimeUs deadline_us,
         std::vector<std::uint32_t> tokens) {
  RequestSpec spec;
  spec.id = id;
  spec.deadline_us = deadline_us;
  spec.item_tokens = std::move(tokens);
  requests.add(10, spec, {0, 0, id});
}

Batch batch_of(BatchId id, std::vector<QueuedItem> items) {
  Batch batch;
  batch.id = id;
  batch.begun_us = 30;
  batch.done.resize(items.size());
  batch.items = std::move(items);
  return batch;
}

TEST(OpenRequests, CountsWhatWaits) {
  OpenRequests requests;
  add(requests, 1, 100, {5, 6});
  add(requests, 2, 100, {7});
  EXPECT_EQ(requests.waiting_items(), 3U);
  EXPECT_EQ(requests.waiting_tokens(), 18U);
  Batch batch = batch_of(4, {{{1, 1}, 6}, {{2, 0}, 7}});
  requests.sent(batch, 3);
  EXPECT_EQ(requests.waiting_items(), 1U);
  EXPECT_EQ(requests.waiting_tokens(), 5U);
  batch.done[1] = true;
  requests.done(batch, 1, 9);
  const std::vector<QueuedItem> undone = requests.take_back(batch);
  ASSERT_EQ(undone.size(), 1U);
  EXPECT_EQ(undone[0].ref, (ItemRef{1, 1}));
  EXPECT_EQ(requests.waiting_tokens(), 11U);
  requests.remove(*requests.find(1));
  EXPECT_EQ(requests.waiting_items(), 0U);
  EXPECT_EQ(requests.waiting_tokens(), 0U);
  EXPECT_EQ(requests.size(), 1U);
}

TEST(OpenRequests, AnswersGrowAsItemsAreDone) {
  OpenRequests requests;
  add(requests, 1, 100, {5, 6});
  const Batch lost = batch_of(1, {{{1, 0}, 5}});
  requests.sent(lost, 0);
  requests.take_back(lost);
  const Batch first = batch_of(2, {{{1, 0}, 5}}), second = batch_of(3, {{{1, 1}, 6}});
  requests.sent(first, 0);
  requests.sent(second, 1);
  requests.done(second, 0, 8);
  requests.done(first, 0, 7);
  requests.note_compute_time(80, second, 50);  // from 30 to 80
  requests.note_compute_time(90, first, 40);   // from 50, beside it
  const Request& request = *requests.find(1);
  EXPECT_EQ(request.undone, 0U);
  EXPECT_EQ(request.last_batch, 2U);
  EXPECT_EQ(request.answer.request, 1U);
  EXPECT_EQ(request.answer.replica, 7U);
  EXPECT_EQ(request.answer.queue_us, 20);
  EXPECT_EQ(request.answer.compute_us, 60);
  EXPECT_EQ(request.answer.attempts, 2U);
}

TEST(OpenRequests, WhatComputesIsNoWait) {
  OpenRequests requests;
  add(requests, 1, 100, {5, 6, 7});
  const Batch first = batch_of(1, {{{1, 0}, 5}, {{1, 1}, 6}});
  requests.sent(first, 0);
  requests.done(first, 0, 7);
  requests.done(first, 1, 7);
  requests.note_compute_time(70, first, 40);  // both of its items, once
  Batch second = batch_of(2, {{{1, 2}, 7}});
  second.begun_us = 75;
  requests.sent(second, 0);
  requests.done(second, 0, 7);
  requests.note_compute_time(105, second, 30);
  const Answer& answer = requests.find(1)->answer;
  EXPECT_EQ(answer.queue_us, 25);  // of the 65 from its arrival
  EXPECT_EQ(answer.compute_us, 70);
}

TEST(OpenRequests, PassesOverRequestsThatHaveEnded) {
  OpenRequests requests;
  add(requests, 1, 100, {5});
  Batch batch = batch_of(1, {{{1, 0}, 5}});
  requests.sent(batch, 0);
  requests.remove(*requests.find(1));
  requests.done(batch, 0, 0);
  requests.note_compute_time(50, batch, 10);
  EXPECT_TRUE(requests.take_back(batch).empty());
  EXPECT_EQ(requests.find(1), nullptr);
  EXPECT_EQ(requests.waiting_items(), 0U);
}

TEST(OpenRequests, TheFirstIsTheOneWithTheEarliestDeadline) {
  OpenRequests requests;
  EXPECT_EQ(requests.first_deadline_us(), std::numeric_limits<TimeUs>::max());
  add(requests, 1, 300, {5});
  add(requests, 2, 100, {5});
  add(requests, 3, 200, {5});
  for (const RequestId id : {2U, 3U, 1U}) {
    EXPECT_EQ(requests.first().place.request, id);
    EXPECT_EQ(requests.first_deadline_us(), id == 1 ? 300 : (id - 1) * 100);
    requests.remove(requests.first());
  }
  EXPECT_TRUE(requests.empty());
}

}  // namespace
}  // namespace sheaf::core
