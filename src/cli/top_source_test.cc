#include "cli/top_source.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace sheaf::cli {
namespace {

struct NoNvml {
  NoNvml() { setenv("SHEAF_NVML", "/no/such/libnvidia-ml.so.1", 1); }
  ~NoNvml() { unsetenv("SHEAF_NVML"); }
};

TEST(TopSourceTest, LoopbackIsHere) {
  for (const char* here : {"localhost", "127.0.0.1", "127.1.2.3", "::1"})
    EXPECT_TRUE(is_here({here, 8080})) << here;
  for (const char* elsewhere : {"gpu-3", "10.0.0.7", "fe80::1", "0.0.0.0"})
    EXPECT_FALSE(is_here({elsewhere, 8080})) << elsewhere;
}

TEST(TopSourceTest, ReadsTheMachinesMemory) {
  const MachineMemory memory = parse_meminfo(
      "MemTotal:       16384 kB\nMemFree:  100 kB\nMemAvailable:    4096 kB\nHugePages_Total: 0\n");
  EXPECT_EQ(memory.total_bytes, 16ull << 20);
  EXPECT_EQ(memory.available_bytes, 4ull << 20);
  EXPECT_EQ(parse_meminfo("nonsense").total_bytes, 0u);
}

TEST(TopSourceTest, ASilentServerIsASentenceInAReportOfTheMachine) {
  const NoNvml no_nvml;
  const auto source = TopSource::create({{"127.0.0.1", 1}, "", kSecond});  // nobody listens there
  unsetenv("SHEAF_NVML");
  ASSERT_TRUE(source.ok());
  const TopReport report = (*source)->look();
  EXPECT_NE(report.server_silent.find("cannot connect to 127.0.0.1:1"), std::string::npos)
      << report.server_silent;
  EXPECT_GE(report.cores, 1u);
  EXPECT_GT(report.memory_bytes, report.memory_used_bytes);
  ASSERT_EQ(report.slices.size(), 1u);
  EXPECT_TRUE(report.slices[0].sample.slice.starts_with("cores:"));
}

}  // namespace
}  // namespace sheaf::cli
