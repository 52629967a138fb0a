#include "core/streams.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

constexpr TimeUs kNone = std::numeric_limits<TimeUs>::min();

TEST(Streams, KnowWhatEachHasOpen) {
  Streams streams;
  streams.opened(7, 100, 1'000);
  streams.opened(7, 30, 2'000);
  streams.opened(8, 5, 3'000);
  EXPECT_EQ(streams.tokens(7), 130U);
  EXPECT_EQ(streams.last_due_us(7), 2'000);
  EXPECT_EQ(streams.tokens(8), 5U);
  streams.ended(7, 30);
  EXPECT_EQ(streams.tokens(7), 100U);
  EXPECT_EQ(streams.last_due_us(7), 2'000) << "of the last that was opened, whichever ends first";
  streams.ended(7, 100);
  EXPECT_EQ(streams.tokens(7), 0U);
  EXPECT_EQ(streams.last_due_us(7), kNone) << "it begins anew";
  EXPECT_EQ(streams.last_due_us(8), 3'000);
}

TEST(Streams, RequestsOfNoneArePassedOver) {
  Streams streams;
  streams.opened(0, 100, 1'000);
  EXPECT_EQ(streams.tokens(0), 0U);
  EXPECT_EQ(streams.last_due_us(0), kNone);
  streams.ended(0, 100);
  EXPECT_EQ(streams.tokens(0), 0U);
}

}  // namespace
}  // namespace sheaf::core
