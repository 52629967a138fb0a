#include "api/answer_window.h"

#include <gtest/gtest.h>

#include <string>

namespace sheaf::api {
namespace {

grpc::ByteBuffer bytes(std::size_t count) {
  const grpc::Slice slice(std::string(count, 'x'));
  return grpc::ByteBuffer(&slice, 1);
}

// A window that has all of a server's room.
struct OwnRoom {
  StreamRoom own_room{1u << 30};
};
struct Window : private OwnRoom, public AnswerWindow {
  explicit Window(std::size_t messages_max) : AnswerWindow(messages_max, own_room) {}
};

// How many messages of this size are taken before there is no room.
int fill(AnswerWindow& window, std::size_t message_bytes) {
  int count = 0;
  while (window.room() && count < 10'000) {
    window.open(bytes(message_bytes));
    ++count;
  }
  return count;
}

TEST(AnswerWindowTest, GivesAnswersInTheOrderOfTheMessages) {
  Window window(10);
  EXPECT_FALSE(window.take());
  const auto first = window.open(bytes(1)), second = window.open(bytes(2)),
             third = window.open(bytes(3));
  window.answer(third, bytes(30));
  window.answer(second, Error{ErrorCode::internal, "broken"});
  EXPECT_FALSE(window.take());
  window.answer(first, bytes(10));
  EXPECT_EQ((*window.take())->Length(), 10u);
  EXPECT_EQ(window.take()->error().message, "broken");
  EXPECT_EQ((*window.take())->Length(), 30u);
  EXPECT_FALSE(window.take());
  EXPECT_TRUE(window.empty());
}

TEST(AnswerWindowTest, AMessageIsKeptUntilItIsAnswered) {
  Window window(10);
  const auto number = window.open(bytes(7));
  EXPECT_EQ(window.message(number)->Length(), 7u);
  window.answer(number, bytes(1));
  EXPECT_EQ(window.message(number), nullptr);
  EXPECT_EQ(window.message(number + 1), nullptr);
  EXPECT_TRUE(window.take());
  window.answer(number, bytes(1));  // late news of one that is gone
  window.began(number, 5);
  EXPECT_TRUE(window.empty());
}

TEST(AnswerWindowTest, AbandonedRequestsAreThoseWithoutAnAnswer) {
  Window window(10);
  for (core::RequestId request : {11, 12, 13}) window.began(window.open(bytes(1)), request);
  window.open(bytes(1));  // not begun
  window.answer(1, bytes(1));
  EXPECT_EQ(window.abandon(), (std::vector<core::RequestId>{11, 13}));
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(window.open(bytes(1)), 4u);
}

TEST(AnswerWindowTest, HoldsSoManyMessages) {
  Window window(3);
  EXPECT_EQ(fill(window, 1), 3);
  window.answer(0, bytes(1));
  EXPECT_FALSE(window.room()) << "until its answer is taken";
  window.take();
  EXPECT_EQ(fill(window, 1), 1);
}

TEST(AnswerWindowTest, HoldsFewUntilTheSizeOfAnswersIsKnown) {
  Window window(1000);
  EXPECT_EQ(fill(window, 1), 64);
  window.answer(0, bytes(100));
  EXPECT_EQ(fill(window, 1), 1000 - 64);
}

TEST(AnswerWindowTest, HoldsFewLargeOnesButAlwaysOne) {
  Window window(1000);
  EXPECT_EQ(fill(window, 100 << 20), 1);
  window.answer(0, bytes(1));
  window.take();
  EXPECT_EQ(fill(window, 1), 1) << "as large as the largest is taken for all";

  Window of_answers(1000);
  of_answers.open(bytes(1));
  of_answers.answer(0, bytes(8 << 20));
  of_answers.take();
  EXPECT_EQ(fill(of_answers, 1), 8);
}

TEST(AnswerWindowTest, CountsAnswersThatItWasToldOfBeforeTheyAreThere) {
  Window window(1000);
  window.open(bytes(1));
  window.answer(0, bytes(1));
  window.take();
  window.open(bytes(1), 60 << 20);
  EXPECT_EQ(fill(window, 1 << 20), 4) << "though all answers so far were small";
  window.answer(1, bytes(10 << 20));
  EXPECT_EQ(fill(window, 1 << 20), 1) << "all are taken for as large as the largest now";
}

TEST(AnswerWindowTest, MessagesUnderWayCountForWhatOthersWereAnsweredWith) {
  Window window(1000);
  EXPECT_EQ(fill(window, 1), 64);
  window.answer(0, bytes(1));
  EXPECT_TRUE(window.room());
  window.answer(1, bytes(2 << 20));
  EXPECT_FALSE(window.room());
}

TEST(AnswerWindowTest, WindowsShareTheServersRoom) {
  StreamRoom room(32u << 20);
  AnswerWindow first(1000, room), second(1000, room), third(1000, room);
  EXPECT_EQ(fill(first, 1), 16) << "as much as is left";
  EXPECT_EQ(fill(second, 1), 8);
  EXPECT_EQ(fill(third, 1), 4) << "there is always some left for another";
  first.abandon();
  EXPECT_EQ(fill(second, 1), 6) << "has fourteen then, and as many are left";
  second.abandon();
  third.abandon();
  EXPECT_EQ(room.left(), 32u << 20);
}

TEST(AnswerWindowTest, AWindowHasOneMessageEvenIfOthersHaveAllRoom) {
  StreamRoom room(1u << 20);
  AnswerWindow first(1000, room), second(1000, room);
  EXPECT_EQ(fill(first, 100 << 20), 1);
  EXPECT_EQ(room.left(), 0u);
  EXPECT_EQ(fill(second, 1), 1);
  second.answer(0, bytes(5));
  second.take();
  EXPECT_EQ(fill(second, 1), 1);
  first.answer(0, bytes(5));
  first.take();
  EXPECT_GT(room.left(), 0u);
  first.abandon();
  second.abandon();
}

}  // namespace
}  // namespace sheaf::api
