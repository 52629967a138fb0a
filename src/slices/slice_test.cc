#include "slices/slice.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <set>

namespace sheaf::slices {
namespace {

Machine machine_of(int cores, double quota = 0) {
  Machine machine;
  for (int i = 0; i < cores; ++i) machine.cores.push_back({i, i < cores / 2 ? 0 : 1});
  machine.core_quota = quota > 0 ? quota : cores;
  machine.numa_nodes = 2;
  return machine;
}

TEST(CutCores, CoversEveryCoreOnceWhenThereAreEnough) {
  for (int cores = 1; cores <= 17; ++cores) {
    for (int count = 1; count <= cores; ++count) {
      const auto slices = cut_cores(machine_of(cores), static_cast<std::uint32_t>(count));
      std::set<int> seen;
      std::size_t least = 99, most = 0, total = 0;
      for (const Slice& slice : slices) {
        seen.insert(slice.cpus.begin(), slice.cpus.end());
        total += slice.cpus.size();
        least = std::min(least, slice.cpus.size());
        most = std::max(most, slice.cpus.size());
        EXPECT_EQ(slice.threads, static_cast<int>(slice.cpus.size()));
      }
      EXPECT_EQ(slices.size(), static_cast<std::size_t>(count));
      EXPECT_EQ(seen.size(), static_cast<std::size_t>(cores));
      EXPECT_EQ(total, static_cast<std::size_t>(cores));
      EXPECT_LE(most - least, 1u);
    }
  }
}

TEST(CutCores, SharesEvenlyWhenThereAreTooFew) {
  const auto slices = cut_cores(machine_of(2), 5);
  ASSERT_EQ(slices.size(), 5u);
  EXPECT_EQ(slices[0].name, "cores:0");
  EXPECT_EQ(slices[1].name, "cores:1");
  EXPECT_EQ(slices[4].name, "cores:0");
  for (const Slice& slice : slices) EXPECT_EQ(slice.threads, 1);
}

TEST(CutSlice, GivesEachRankItsPart) {
  const Machine machine = machine_of(8);
  Slice slice = cut_cores(machine, 2)[1];
  slice.threads = 3;  // of its quota
  const auto parts = cut_slice(machine, slice, 2);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].cpus, (std::vector{4, 5}));
  EXPECT_EQ(parts[1].cpus, (std::vector{6, 7}));
  EXPECT_EQ(parts[0].threads, 1);
  EXPECT_EQ(cut_slice(machine, slice, 1)[0].cpus, slice.cpus);
}

TEST(CutSlice, GivesAllPartsAsManyThreads) {
  const Machine machine = machine_of(3);
  const auto parts = cut_slice(machine, cut_cores(machine, 1)[0], 2);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_NE(parts[0].cpus.size(), parts[1].cpus.size());
  EXPECT_EQ(parts[0].threads, 1);
  EXPECT_EQ(parts[1].threads, 1);
}

TEST(CutCores, NamesItsCoresAndNode) {
  const auto slices = cut_cores(machine_of(8), 2);
  EXPECT_EQ(slices[0].name, "cores:0-3");
  EXPECT_EQ(slices[0].numa_node, 0);
  EXPECT_EQ(slices[1].name, "cores:4-7");
  EXPECT_EQ(slices[1].numa_node, 1);
}

TEST(CutCores, ThreadsFollowTheQuota) {
  const auto slices = cut_cores(machine_of(64, 4.0), 2);
  EXPECT_EQ(slices[0].cpus.size(), 32u);
  EXPECT_EQ(slices[0].threads, 2);
  EXPECT_EQ(cut_cores(machine_of(64, 0.5), 2)[0].threads, 1);
}

TEST(DefaultReplicas, OnePerNodeOrPerEightCores) {
  EXPECT_EQ(default_replicas(machine_of(4)), 2u);
  EXPECT_EQ(default_replicas(machine_of(64)), 8u);
  EXPECT_EQ(default_replicas(machine_of(64, 8)), 2u);
}

TEST(CpuList, IsWrittenAsTheKernelDoes) {
  EXPECT_EQ(format_cpu_list({}), "");
  EXPECT_EQ(format_cpu_list({3}), "3");
  EXPECT_EQ(format_cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

TEST(CpuList, IsReadAsItIsWritten) {
  for (const std::string text : {"3", "0-2,5,7-8", "0,2,4"})
    EXPECT_EQ(format_cpu_list(*parse_cpu_list(text)), text);
  EXPECT_EQ(*parse_cpu_list("5,1-2,2"), (std::vector<int>{1, 2, 5}));
  for (const char* text : {"", ",", "1,", "-1", "2-1", "1-", "a", "1 ", "99999999999", "0-99999"})
    EXPECT_FALSE(parse_cpu_list(text).ok()) << text;
  EXPECT_EQ(parse_cpu_list("1;2").error().message, "'1;2' is no list of cores such as 0-2,5");
}

TEST(CpuMax, ReadsBothVersions) {
  EXPECT_DOUBLE_EQ(parse_cpu_max("150000 100000\n"), 1.5);
  EXPECT_LT(parse_cpu_max("max 100000\n"), 0);
  EXPECT_LT(parse_cpu_max("-1\n 100000\n"), 0);
  EXPECT_LT(parse_cpu_max(""), 0);
}

TEST(DetectMachine, StaysInsideTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &before)) last = cpu;

  const auto all = detect_machine();
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(static_cast<int>(all->cores.size()), CPU_COUNT(&before));
  EXPECT_GE(all->physical_cores, 1);
  EXPECT_LE(all->physical_cores, static_cast<int>(all->cores.size()));
  ASSERT_FALSE(all->nodes.empty());
  EXPECT_GT(all->nodes[0].memory_bytes, 1u << 20);

  CPU_ZERO(&one);
  CPU_SET(last, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const auto single = detect_machine();
  sched_setaffinity(0, sizeof before, &before);
  ASSERT_TRUE(single.ok());
  ASSERT_EQ(single->cores.size(), 1u);
  EXPECT_EQ(single->cores[0].cpu, last);
}

}  // namespace
}  // namespace sheaf::slices
