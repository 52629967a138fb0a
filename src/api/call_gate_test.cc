#include "api/call_gate.h"

#include <gtest/gtest.h>

#include <thread>

namespace sheaf::api {
namespace {

struct TestCall final : GatedCall {
  void close() override { ++closed; }
  int closed = 0;
};

using std::chrono::milliseconds;

TEST(CallGateTest, ClosesThoseInsideAndLetsNoneInAfterwards) {
  CallGate gate;
  TestCall inside, gone, late;
  EXPECT_TRUE(gate.enter(inside));
  EXPECT_TRUE(gate.enter(gone));
  gate.leave(gone);
  EXPECT_FALSE(gate.close_and_wait(milliseconds(1)));
  EXPECT_EQ(inside.closed, 1);
  EXPECT_EQ(gone.closed, 0);
  EXPECT_FALSE(gate.enter(late));
  gate.leave(late);  // changes nothing
  EXPECT_FALSE(gate.close_and_wait(milliseconds(1)));
  gate.leave(inside);
  EXPECT_TRUE(gate.close_and_wait(milliseconds(0)));
}

TEST(CallGateTest, WaitsForTheLast) {
  CallGate gate;
  TestCall one, other;
  gate.enter(one);
  gate.enter(other);
  std::thread leaver([&] {
    gate.leave(one);
    gate.leave(other);
  });
  EXPECT_TRUE(gate.close_and_wait(milliseconds(10'000)));
  leaver.join();
}

}  // namespace
}  // namespace sheaf::api
