#include "telemetry/gpu_watch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

namespace sheaf::telemetry {
namespace {

using slices::XidOrder;
using slices::XidReaction;

struct NoNvml {
  NoNvml() { setenv("SHEAF_NVML", "/no/such/libnvidia-ml.so.1", 1); }
  ~NoNvml() { unsetenv("SHEAF_NVML"); }
};

// On a machine without NVML; what cards do is told by hand.
class GpuWatchTest : public testing::Test {
 protected:
  static slices::XidEvent xid(unsigned number, unsigned gpu, TimeUs at_us = 0) {
    return {.xid = number, .gpu = gpu, .at_us = at_us};
  }
  std::uint64_t count(unsigned gpu, XidReaction reaction) const {
    const auto counts = metrics.gpu_readings().reactions;
    const auto found = counts.find({gpu, reaction});
    return found == counts.end() ? 0 : found->second;
  }

  const NoNvml no_nvml;
  Metrics metrics;
  std::vector<XidOrder> orders;
  std::vector<unsigned> well;
  GpuWatch watch{metrics,
                 {.carry_out = [this](const XidOrder& o) { orders.push_back(o); },
                  .card_is_well = [this](unsigned gpu) { well.push_back(gpu); }}};
};

TEST_F(GpuWatchTest, OrdersOnceWhatIsToBeDone) {
  for (TimeUs at = 0; at < 20; ++at) watch.on_xid(xid(31, 0, at));
  watch.on_xid(xid(79, 1, 21));
  watch.on_xid(xid(79, 1, 22));
  ASSERT_EQ(orders.size(), 2u);
  EXPECT_EQ(orders[0].reaction, XidReaction::restart_replica);
  EXPECT_EQ(orders[0].event.gpu, 0u);
  EXPECT_EQ(orders[1].reaction, XidReaction::quarantine_card);
  EXPECT_EQ(orders[1].event.gpu, 1u);
  EXPECT_EQ(count(0, XidReaction::restart_replica), 1u);
  EXPECT_EQ(count(1, XidReaction::quarantine_card), 1u);
}

TEST_F(GpuWatchTest, AlertsAreSaidAndCountedButNoOrders) {
  watch.on_xid(xid(43, 0));
  watch.on_xid(xid(123456, 0));
  EXPECT_TRUE(orders.empty());
  EXPECT_EQ(count(0, XidReaction::alert), 2u);
}

TEST_F(GpuWatchTest, ACardThatIsWellAgainIsAnsweredAnew) {
  watch.on_xid(xid(48, 0));
  watch.on_xid(xid(48, 0, 1));
  EXPECT_EQ(orders.size(), 1u);
  watch.on_reading(0, {.recovery_action = 1});
  watch.on_reading(1, {.recovery_action = 0});
  EXPECT_TRUE(well.empty());
  watch.on_reading(0, {.recovery_action = 0});
  EXPECT_EQ(well, std::vector<unsigned>{0});
  watch.on_xid(xid(48, 0, 2));
  EXPECT_EQ(orders.size(), 2u);
}

TEST_F(GpuWatchTest, LeavesNoReaderBehind) {
  {
    Metrics others;
    GpuWatch short_lived(others, {});
    short_lived.on_xid(xid(31, 0));
    EXPECT_FALSE(others.gpu_readings().reactions.empty());
  }
  Metrics kept;
  { const GpuWatch short_lived(kept, {}); }
  EXPECT_TRUE(kept.gpu_readings().samples.empty());
  EXPECT_EQ(kept.render().find("sheaf_gpu_"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::telemetry
