#include "core/admission.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

TEST(Admission, BoundsTheQueueInTokens) {
  struct Case {
    const char* what;
    std::uint64_t queued;
    std::uint64_t wanted;
    bool taken;
  };
  for (const Case& c : {Case{"fits", 500, 500, true}, Case{"one too many", 500, 501, false},
                        Case{"larger than the bound, into an empty queue", 0, 5'000, true},
                        Case{"larger than the bound, behind one token", 1, 5'000, false}}) {
    const Status status = check_queue_room({c.queued, 1'000, 0, 100, true}, c.wanted);
    EXPECT_EQ(status.ok(), c.taken) << c.what;
    if (status.ok()) continue;
    EXPECT_EQ(status.error().code, ErrorCode::overloaded);
    EXPECT_GT(status.error().retry_after_s, 0);
    EXPECT_NE(status.error().message.find("1000 tokens"), std::string::npos);
  }
}

TEST(Admission, RefusesWhatWouldExpireInTheQueue) {
  struct Case {
    const char* what;
    Load load;
    std::uint64_t tokens;
    TimeUs left_us;
    bool taken;
  };
  const Load second_of_work{10'000, 1'000'000, 10'000, 10'000, true};
  for (const Case& c : {
           Case{"time enough", second_of_work, 100, 2'000'000, true},
           Case{"too late", second_of_work, 100, 900'000, false},
           Case{"too late by its batch", second_of_work, 100, 1'120'000, false},
           Case{"rate unknown", {10'000, 1'000'000, 10'000, 10'000, false}, 100, 1, true},
           Case{"nothing ahead: it is tried", {0, 1'000'000, 0, 10'000, true}, 100'000, 1, true},
           Case{"no replica: it waits", {10'000, 1'000'000, 10'000, 0, true}, 100, 1, true},
       })
    EXPECT_EQ(check_deadline(c.load, c.tokens, c.left_us, 100'000).ok(), c.taken) << c.what;
}

TEST(Admission, RetryAfterGrowsWithTheQueue) {
  const auto retry_after = [](std::uint64_t queued) {
    return check_queue_room({queued, 1, 0, 1'000, true}, 1).error().retry_after_s;
  };
  EXPECT_EQ(retry_after(100), 1);
  EXPECT_EQ(retry_after(10'000), 5);
  EXPECT_EQ(retry_after(10'000'000), 30);
}

TEST(Admission, DefaultBoundIsThirtySecondsOfWork) {
  EXPECT_EQ(default_queue_tokens_max(100), 1'000'000U);
  EXPECT_EQ(default_queue_tokens_max(100'000), 3'000'000U);
}

}  // namespace
}  // namespace sheaf::core
