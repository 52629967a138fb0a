#include "cli/top_report.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

using slices::LoadSource;
using slices::SliceSample;

ReplicaReport replica(std::string name, std::string slice, unsigned pid, std::uint64_t tokens = 0,
                      TimeUs busy_us = 0) {
  return {.name = std::move(name),
          .slice = std::move(slice),
          .model = "org/m",
          .state = "ready",
          .processes = {{static_cast<int>(pid), pid * 100}},
          .tokens = tokens,
          .busy_us = busy_us};
}

// Four cores, of which replicas have 0 and 1-2; a second between the looks.
TopInput cores_and_server() {
  TopInput input;
  input.cpus = {0, 1, 2, 3};
  for (int cpu = 0; cpu < 4; ++cpu) {
    input.cores_before[cpu] = {0, 0};
    input.cores_after[cpu] = {static_cast<std::uint64_t>(25 * cpu), 100};
  }
  FleetReport before{.ready = true, .open_requests = 1, .time_us = kSecond};
  before.models = {{.name = "org/m", .queue_tokens = 70}};
  before.replicas = {replica("0", "cores:0", 10), replica("1", "cores:1-2", 11)};
  FleetReport after = before;
  after.time_us = 2 * kSecond;
  after.replicas = {replica("0", "cores:0", 10, 500, 250'000),
                    replica("1", "cores:1-2", 11, 1500, 900'000)};
  input.fleet_before = before;
  input.fleet = after;
  return input;
}

TEST(TopReportTest, CoreSetsHaveTheKernelsLoadAndTheirReplicas) {
  const TopReport report = join(cores_and_server());
  ASSERT_EQ(report.slices.size(), 3u);
  const TopSlice& second = report.slices[1];
  EXPECT_EQ(second.sample.slice, "cores:1-2");
  EXPECT_EQ(second.sample.load, 0.375);
  EXPECT_EQ(second.sample.load_source, LoadSource::kernel);
  EXPECT_EQ(second.sample.memory_used_bytes, 1100u);
  ASSERT_EQ(second.tenants.size(), 1u);
  EXPECT_EQ(second.tenants[0].name, "1");
  EXPECT_EQ(second.tenants[0].rate->tokens_per_s, 1500);
  EXPECT_EQ(second.tenants[0].rate->busy, 0.9);
  EXPECT_EQ(report.slices[2].sample.slice, "cores:3");
  EXPECT_TRUE(report.slices[2].tenants.empty());
  EXPECT_EQ(report.cores_load, 0.375);
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].tokens_per_s, 2000);
  EXPECT_EQ(report.models[0].replicas_ready, 2u);
  EXPECT_EQ(report.models[0].queue_tokens, 70u);
}

TEST(TopReportTest, WithoutAServerThereAreTheMachinesCores) {
  TopInput input = cores_and_server();
  input.fleet_before.reset();
  input.fleet.reset();
  const TopReport report = join(input);
  ASSERT_EQ(report.slices.size(), 1u);
  EXPECT_EQ(report.slices[0].sample.slice, "cores:0-3");
  EXPECT_TRUE(report.models.empty());
}

TEST(TopReportTest, CardsHaveReplicasOfTheirSharesAndOtherProcesses) {
  TopInput input = cores_and_server();
  SliceSample card{.slice = "gpu:0", .uuid = "GPU-0"};
  card.load = 0.9;
  card.load_source = LoadSource::nvml;
  card.processes = {{.pid = 10, .name = "sheaf-replica", .bytes = 1},
                    {.pid = 77, .name = "python", .bytes = 1 << 30}};
  input.cards = {card};
  input.fleet->replicas = {replica("0", "time:0#0", 10, 500, 250'000),
                           replica("1", "time:0#1", 11, 1500, 900'000)};
  const TopReport report = join(input);
  ASSERT_EQ(report.slices.size(), 2u);  // and the cores
  const TopSlice& slice = report.slices[0];
  ASSERT_EQ(slice.tenants.size(), 3u);
  EXPECT_EQ(slice.tenants[0].name, "0");
  EXPECT_EQ(slice.tenants[1].name, "1");
  EXPECT_EQ(slice.tenants[2].name, "python");
  EXPECT_FALSE(slice.tenants[2].is_replica());
  EXPECT_EQ(slice.tenants[2].memory_bytes(), 1u << 30);
  EXPECT_EQ(slice.sample.load, 0.9);  // NVML's, not the replicas'
}

// NVML has no load of this slice; the server knows how long its replica computed.
TEST(TopReportTest, BusyTimeIsTakenFromTheServer) {
  TopInput input = cores_and_server();
  input.cards = {{.slice = "mig:0/3", .uuid = "MIG-3"}};
  input.fleet->slices = input.cards;
  input.fleet->slices[0].load = 0.4;
  input.fleet->slices[0].load_source = LoadSource::busy_time;
  input.fleet->slices[0].age_us = 0;
  EXPECT_EQ(join(input).slices[0].sample.load, 0.4);
  EXPECT_EQ(join(input).slices[0].sample.load_source, LoadSource::busy_time);
  input.fleet->slices[0].uuid = "MIG-of another machine";
  EXPECT_FALSE(join(input).slices[0].sample.load);
}

TEST(TopReportTest, AnotherMachineIsAsItsServerTells) {
  TopInput input = cores_and_server();
  input.server_is_here = false;
  input.cards = {{.slice = "gpu:7"}};  // of this machine
  input.fleet->slices = {{.slice = "gpu:0"}};
  const TopReport report = join(input);
  ASSERT_EQ(report.slices.size(), 3u);
  EXPECT_EQ(report.slices[0].sample.slice, "gpu:0");
  EXPECT_EQ(report.slices[1].sample.slice, "cores:0");
  EXPECT_EQ(report.slices[1].sample.load_source, LoadSource::busy_time);
  EXPECT_EQ(report.slices[1].sample.load, 0.25);
  EXPECT_EQ(report.slices[1].sample.memory_used_bytes, 1000u);
}

// Each is part of the replica, none is somebody else's.
TEST(TopReportTest, ProcessesOfAReplicaAddUp) {
  TopInput input = cores_and_server();
  input.fleet->replicas[1].slice = "gpu:0";
  input.fleet->replicas[1].processes = {{11, 100}, {12, std::nullopt}, {13, 30}};
  SliceSample card{.slice = "gpu:0"};
  card.processes = {{.pid = 13, .name = "sheaf-replica", .bytes = 1}};
  input.cards = {card};
  const TopReport report = join(input);
  ASSERT_EQ(report.slices[0].tenants.size(), 1u);
  EXPECT_EQ(report.slices[0].tenants[0].processes.size(), 3u);
  EXPECT_EQ(report.slices[0].tenants[0].memory_bytes(), 130u);
  EXPECT_FALSE(TopTenant{}.memory_bytes());
}

TEST(TopReportTest, AReplicaOverSeveralCardsIsOnEachOfThem) {
  TopInput input = cores_and_server();
  input.fleet->replicas = {replica("0", "gpu:0,gpu:2", 10, 500, 250'000)};
  input.cards = {{.slice = "gpu:0"}, {.slice = "gpu:1"}, {.slice = "gpu:2"}};
  const TopReport report = join(input);
  EXPECT_EQ(report.slices[0].tenants.size(), 1u);
  EXPECT_TRUE(report.slices[1].tenants.empty());
  EXPECT_EQ(report.slices[2].tenants.size(), 1u);
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].replicas, 1u);
}

TEST(TopReportTest, ReplicasThatShareACoreSetShareItsRow) {
  TopInput input = cores_and_server();
  input.fleet->replicas[1].slice = "cores:0";
  const TopReport report = join(input);
  ASSERT_EQ(report.slices.size(), 2u);
  EXPECT_EQ(report.slices[0].tenants.size(), 2u);
  EXPECT_EQ(report.slices[0].sample.memory_used_bytes, 2100u);
  EXPECT_EQ(report.slices[1].sample.slice, "cores:1-3");
}

TEST(TopReportTest, NamesOfCoreSetsAreListsOfCores) {
  EXPECT_EQ(cpus_of_slice("cores:0-2,5"), (std::vector<int>{0, 1, 2, 5}));
  EXPECT_EQ(cpus_of_slice("cores:3"), std::vector<int>{3});
  for (const char* wrong : {"", "gpu:0", "cores:", "cores:a", "cores:1-", "cores:1-x", "cores:1;2",
                            "cores:-1", "cores:99999999"})
    EXPECT_TRUE(cpus_of_slice(wrong).empty()) << wrong;
}

}  // namespace
}  // namespace sheaf::cli
