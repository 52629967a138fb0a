#include "cli/child_process.h"

#include <gtest/gtest.h>

#include <array>

namespace sheaf::cli {
namespace {

constexpr TimeUs kSoonUs = 50'000, kLateUs = 60'000'000;

TEST(ChildProcess, IsWaitedForUntilItWrites) {
  auto process = ChildProcess::start({"/bin/echo", "there"});
  ASSERT_TRUE(process.ok());
  EXPECT_TRUE(process->await_output(monotonic_us() + kLateUs).ok());
  std::array<char, 8> text{};
  EXPECT_EQ(::read(process->output(), text.data(), text.size()), 6);
}

TEST(ChildProcess, IsWaitedForUntilItEnds) {
  auto process = ChildProcess::start({"/bin/true"});
  ASSERT_TRUE(process.ok());
  EXPECT_TRUE(process->await_output(monotonic_us() + kLateUs).ok());
}

TEST(ChildProcess, IsAbandonedWhereItHangs) {
  auto process = ChildProcess::start({"/bin/sleep", "1000"});
  ASSERT_TRUE(process.ok());
  const TimeUs begin_us = monotonic_us();
  const Status waited = process->await_output(begin_us + kSoonUs);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::deadline_exceeded);
  EXPECT_LT(monotonic_us() - begin_us, kLateUs);
}

TEST(OutputOf, EndsWithACommandThatHangs) {
  EXPECT_EQ(*output_of({"/bin/echo", "there"}, 60'000), "there\n");
  const auto hung = output_of({"/bin/sleep", "1000"}, 50);
  ASSERT_FALSE(hung.ok());
  EXPECT_EQ(hung.error().message, "/bin/sleep did not answer in time");
}

}  // namespace
}  // namespace sheaf::cli
