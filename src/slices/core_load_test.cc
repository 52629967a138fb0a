#include "slices/core_load.h"

#include <gtest/gtest.h>

#include <vector>

namespace sheaf::slices {
namespace {

constexpr std::string_view kStat =
    "cpu  300 0 300 1200 100 0 0 0 0 0\n"
    "cpu0 100 10 50 800 40 0 0 0 0 0\n"
    "cpu1 200 0 250 400 60 0 5 5 99 99\n"
    "intr 12345 0 0\n"
    "ctxt 99\n";

TEST(CoreLoad, ReadsEachCoreAndNotTheirSum) {
  const auto times = parse_core_times(kStat);
  ASSERT_TRUE(times.ok());
  ASSERT_EQ(times->size(), 2u);
  EXPECT_EQ(times->at(0).total, 1000u);
  EXPECT_EQ(times->at(0).busy, 160u);
  EXPECT_EQ(times->at(1).total, 920u);  // guests' time is in user's already
  EXPECT_EQ(times->at(1).busy, 460u);
}

TEST(CoreLoad, IsThePartOfTheTimeBetweenTwoReadings) {
  const CoreTimes before = {{0, {100, 1000}}, {1, {100, 1000}}};
  const CoreTimes after = {{0, {150, 1100}}, {1, {200, 1100}}, {2, {5, 10}}};
  const auto load = [&](std::vector<int> cpus) { return load_between(before, after, cpus); };
  EXPECT_EQ(load({0}), 0.5);
  EXPECT_EQ(load({1}), 1.0);
  EXPECT_EQ(load({0, 1}), 0.75);
  EXPECT_EQ(load({0, 9}), 0.5);
  EXPECT_FALSE(load({2}));  // it came in between
  EXPECT_FALSE(load({}));
  EXPECT_FALSE(load_between(before, before, std::vector<int>{0}));
}

TEST(CoreLoad, CountersThatGoBackCountAsNone) {
  const CoreTimes before = {{0, {100, 1000}}}, after = {{0, {99, 1100}}};
  EXPECT_EQ(load_between(before, after, std::vector<int>{0}), 0.0);
}

TEST(CoreLoad, WhatIsNoSuchTextIsRefused) {
  for (const std::string_view text : {"", "cpu 1 2 3 4", "cpu0 1 2 3", "cpux 1 2 3 4 5",
                                      "cpu-1 1 2 3 4", "cpu99999999999999999999 1 2 3 4"})
    EXPECT_FALSE(parse_core_times(text).ok()) << text;
}

TEST(CoreLoad, ThisMachineHasCores) {
  const auto times = read_core_times();
  ASSERT_TRUE(times.ok()) << times.error().message;
  EXPECT_GE(times->size(), 1u);
  EXPECT_GT(times->begin()->second.total, 0u);
}

}  // namespace
}  // namespace sheaf::slices
