#include "slices/cgroup_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sheaf::slices {
namespace {

// Control groups made of plain files.
class CgroupMemoryTest : public testing::Test {
 protected:
  CgroupMemoryTest() {
    std::string name = std::filesystem::temp_directory_path().string() + "/sheaf-cgroup-XXXXXX";
    root = mkdtemp(name.data());
  }
  ~CgroupMemoryTest() override { std::filesystem::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  CgroupMemory read() { return read_cgroup_memory(root + "/self", root); }

  std::string root;
};

TEST_F(CgroupMemoryTest, TheSmallestLimitOnTheWayBinds) {
  write("/self", "0::/a/b\n");
  write("/a/b/memory.max", "max\n");
  write("/a/b/memory.events", "low 0\noom 2\noom_kill 1\n");
  write("/a/memory.max", "1000\n");
  write("/a/memory.current", "700\n");
  write("/a/memory.events", "oom_kill 3\n");
  EXPECT_EQ(read().limit_bytes, 1000u);
  EXPECT_EQ(read().used_bytes, 700u);
  EXPECT_EQ(read().oom_kills, 3u);
}

TEST_F(CgroupMemoryTest, VersionOne) {
  write("/self", "4:memory:/x\n1:cpu:/\n0::/\n");
  write("/memory/x/memory.limit_in_bytes", "5000\n");
  write("/memory/x/memory.usage_in_bytes", "4000\n");
  write("/memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 12\n");
  write("/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read().limit_bytes, 5000u);
  EXPECT_EQ(read().used_bytes, 4000u);
  EXPECT_EQ(read().oom_kills, 12u);
}

TEST_F(CgroupMemoryTest, WithoutAnyThereIsNoLimit) {
  EXPECT_EQ(read().limit_bytes, 0u);
  write("/self", "nonsense\n0::/\n");
  EXPECT_EQ(read().limit_bytes, 0u);
  EXPECT_EQ(read().oom_kills, 0u);
}

}  // namespace
}  // namespace sheaf::slices
