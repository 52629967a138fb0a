#include "base/process_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace sheaf {
namespace {

TEST(ProcessMemory, GrowsByWhatIsWritten) {
  constexpr std::size_t kBytes = 64 << 20;
  const auto before = resident_bytes(::getpid());
  ASSERT_TRUE(before);
  const auto block = std::make_unique_for_overwrite<char[]>(kBytes);
  std::memset(block.get(), 1, kBytes);
  EXPECT_GE(*resident_bytes(::getpid()), *before + kBytes / 2);
  EXPECT_EQ(block[kBytes - 1], 1);
}

TEST(ProcessMemory, OfNobodyThereIsNone) {
  EXPECT_FALSE(resident_bytes(0));
  EXPECT_FALSE(resident_bytes(-1));
}

}  // namespace
}  // namespace sheaf
