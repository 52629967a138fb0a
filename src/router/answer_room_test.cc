#include "router/answer_room.h"

#include <gtest/gtest.h>

namespace sheaf::router {
namespace {

constexpr std::uint64_t kMib = 1 << 18;  // floats

TEST(AnswerRoomTest, OneRequestHasItsLimit) {
  AnswerRoom room(2 * kMib, 10 * kMib);
  OpenRequest open;
  open.inputs.ids.resize(7);
  EXPECT_TRUE(room.take(open, kMib).ok());
  EXPECT_TRUE(room.take(open, kMib).ok());
  const Status status = room.take(open, kMib);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::too_large);
  EXPECT_EQ(status.error().message.substr(0, 51),
            "0 texts of 7 tokens need 3 MiB of numbers or more f");
}

TEST(AnswerRoomTest, AllTogetherHaveTheirsUntilRoomIsGivenBack) {
  AnswerRoom room(2 * kMib, 3 * kMib);
  OpenRequest first, second;
  EXPECT_TRUE(room.take(first, 2 * kMib).ok());
  const Status full = room.take(second, 2 * kMib);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, ErrorCode::overloaded);
  EXPECT_EQ(full.error().message, "answers of 2 MiB are being made already; 3 MiB is the limit");
  room.give_back(second);  // which took nothing
  EXPECT_FALSE(room.take(second, 2 * kMib).ok());
  room.give_back(first);
  EXPECT_TRUE(room.take(second, 2 * kMib).ok());
}

}  // namespace
}  // namespace sheaf::router
