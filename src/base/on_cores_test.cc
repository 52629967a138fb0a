#include "base/on_cores.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace sheaf {
namespace {

TEST(OnCores, CallsOnceForEachAndWaits) {
  for (const std::size_t count : {0u, 1u, 2u, 1000u}) {
    std::vector<std::atomic<int>> calls(count);
    on_cores(count, [&](std::size_t i) { calls[i].fetch_add(1); });
    for (const auto& called : calls) EXPECT_EQ(called.load(), 1);
  }
}

}  // namespace
}  // namespace sheaf
