#include "cli/fleet_report.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

constexpr const char* kFleet = R"({
  "ready": true, "open_requests": 3, "time_us": 5000000,
  "replicas": [{"name": "0", "slice": "cores:0-1", "model": "m", "state": "ready",
                "pid": 42, "processes": [{"pid": 42, "memory_bytes": 900}, {"pid": 43, "memory_bytes": null}],
                "restarts": 1, "tokens_in_flight": 64, "tokens": 9000, "busy_us": 1500000,
                "tokens_per_s": 1.5, "last_death": null}],
  "models": [{"name": "m", "queue_items": 2, "queue_tokens": 300, "queue_tokens_max": 1000}],
  "slices": [{"slice": "gpu:0", "load": 0.5, "load_source": "nvml"}]})";

TEST(FleetReportTest, IsReadAsTheServerWroteIt) {
  const auto fleet = parse_fleet_report(kFleet);
  ASSERT_TRUE(fleet.ok()) << fleet.error().message;
  EXPECT_TRUE(fleet->ready);
  EXPECT_EQ(fleet->open_requests, 3u);
  ASSERT_EQ(fleet->replicas.size(), 1u);
  EXPECT_EQ(fleet->replicas[0].slice, "cores:0-1");
  ASSERT_EQ(fleet->replicas[0].processes.size(), 2u);
  EXPECT_EQ(fleet->replicas[0].processes[0].pid, 42);
  EXPECT_EQ(fleet->replicas[0].processes[0].memory_bytes, 900u);
  EXPECT_EQ(fleet->replicas[0].processes[1].pid, 43);
  EXPECT_FALSE(fleet->replicas[0].processes[1].memory_bytes);
  EXPECT_EQ(fleet->replicas[0].tokens, 9000u);
  EXPECT_EQ(fleet->models.at(0).queue_tokens, 300u);
  EXPECT_EQ(fleet->slices.at(0).load, 0.5);
}

TEST(FleetReportTest, OlderServersSayLess) {
  const auto fleet = parse_fleet_report(R"({"ready": false, "replicas": [{"name": "0"}]})");
  ASSERT_TRUE(fleet.ok()) << fleet.error().message;
  EXPECT_FALSE(fleet->ready);
  EXPECT_EQ(fleet->replicas[0].model, "");
  EXPECT_TRUE(fleet->models.empty());
}

TEST(FleetReportTest, WhatIsNoReportIsRefused) {
  for (const char* text :
       {"", "nonsense", "[]", "{}", "null", R"({"replicas": 1})", R"({"replicas": [1]})",
        R"({"replicas": [], "models": {}})", R"({"replicas": [], "slices": [{"load": "much"}]})"}) {
    const auto fleet = parse_fleet_report(text);
    ASSERT_FALSE(fleet.ok()) << text;
    EXPECT_EQ(fleet.error().code, ErrorCode::corrupt) << text;
  }
  // Single fields of another kind are as if they were not there.
  const auto odd = parse_fleet_report(
      R"({"ready": 1, "open_requests": -4, "replicas": [{"name": 7, "busy_us": "x",
          "processes": [8, {"pid": 1e99}]}, {"processes": {"pid": 1}}]})");
  ASSERT_TRUE(odd.ok());
  EXPECT_FALSE(odd->ready);
  EXPECT_EQ(odd->open_requests, 0u);
  ASSERT_EQ(odd->replicas[0].processes.size(), 1u);
  EXPECT_EQ(odd->replicas[0].processes[0].pid, 0);
  EXPECT_TRUE(odd->replicas[1].processes.empty());
}

TEST(FleetReportTest, RatesAreBetweenTwoReports) {
  FleetReport before = *parse_fleet_report(kFleet);
  FleetReport after = before;
  after.time_us += 2 * kSecond;
  after.replicas[0].tokens += 500;
  after.replicas[0].busy_us += kSecond;
  const auto rate = rate_of(before, after, after.replicas[0]);
  ASSERT_TRUE(rate);
  EXPECT_EQ(rate->tokens_per_s, 250);
  EXPECT_EQ(rate->busy, 0.5);
  EXPECT_FALSE(rate_of(after, after, after.replicas[0]));
  before.replicas[0].name = "another";
  EXPECT_FALSE(rate_of(before, after, after.replicas[0]));
}

TEST(FleetReportTest, AServerThatBeganAnewHasNoNegativeRate) {
  const FleetReport before = *parse_fleet_report(kFleet);
  FleetReport after = before;
  after.time_us += kSecond;
  after.replicas[0].tokens = 10;
  after.replicas[0].busy_us = 10;
  EXPECT_EQ(rate_of(before, after, after.replicas[0])->tokens_per_s, 0);
}

}  // namespace
}  // namespace sheaf::cli
