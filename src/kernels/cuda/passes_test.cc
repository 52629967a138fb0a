#include "kernels/cuda/passes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/emulation/emulated.h"

namespace sheaf::kernels::cuda {
namespace {

class PassesTest : public testing::Test {
 protected:
  ~PassesTest() override {
    device_->release(in_);
    device_->release(out_);
  }

  float* allocate() { return static_cast<float*>(device_->allocate(sizeof(float))); }
  void launch(float factor) {
    device_->give([=, this](Stream stream) {
      ++launches_;
      if (stream != device_->stream() && !records_) return false;
      stream->take([=, in = in_, out = out_] { *out += factor * *in; });
      return true;
    });
  }
  // x * 2 + y * 3, by way of one place for both.
  float run(std::vector<std::uint32_t> shape, float x, float y) {
    launches_ = 0;
    const float zero = 0;
    float got = -1;
    device_->begin_pass(shape);
    device_->write(&zero, sizeof zero, out_);
    device_->write(&x, sizeof x, in_);
    launch(2);
    device_->write(&y, sizeof y, in_);
    launch(3);
    device_->read(out_, sizeof got, &got);
    return got;
  }
  // Until the next pass of the shape is recorded.
  void run_before(const std::vector<std::uint32_t>& shape) {
    for (std::uint64_t i = 0; i < kRunsBefore; ++i) run(shape, 1, 1);
  }
  // Until the next is repeated.
  void run_recorded(const std::vector<std::uint32_t>& shape) {
    run_before(shape);
    run(shape, 1, 1);
  }

  std::unique_ptr<Device> device_ = make_emulated_device();
  float* in_ = allocate();
  float* out_ = allocate();
  bool records_ = true;  // whether launches into a recording are taken
  int launches_ = 0;     // of the last pass
};

TEST_F(PassesTest, RunsThenRecordsThenRepeatsWithWhatIsWritten) {
  for (std::uint64_t i = 0; i < kRunsBefore; ++i) {
    EXPECT_EQ(run({7}, 1, 10), 32);
    EXPECT_EQ(launches_, 2);
  }
  EXPECT_EQ(run({7}, 2, 20), 64);
  EXPECT_EQ(launches_, 2 * 2) << "on the stream and for the recording";
  for (const float x : {3.0F, 4.0F, -5.0F}) {
    EXPECT_EQ(run({7}, x, 1), 2 * x + 3);
    EXPECT_EQ(launches_, 0);
  }
  EXPECT_TRUE(device_->status().ok());
}

TEST_F(PassesTest, EachShapeHasItsOwn) {
  run_recorded({7});
  EXPECT_EQ(run({7, 1}, 1, 1), 5);
  EXPECT_EQ(launches_, 2);
  EXPECT_EQ(run({7}, 1, 2), 8);
  EXPECT_EQ(launches_, 0);
}

TEST_F(PassesTest, WithoutAShapeAllRun) {
  for (std::uint64_t i = 0; i < kRunsBefore + 2; ++i) {
    EXPECT_EQ(run({}, 1, 1), 5);
    EXPECT_EQ(launches_, 2);
  }
}

TEST_F(PassesTest, BeginAnewOnceMemoryIsAllocatedOrReleased) {
  run_recorded({7});
  float* more = allocate();
  EXPECT_EQ(run({7}, 1, 2), 8);
  EXPECT_EQ(launches_, 2);
  run_recorded({7});
  run({7}, 1, 1);
  EXPECT_EQ(launches_, 0);
  device_->release(more);
  EXPECT_EQ(run({7}, 1, 3), 11);
  EXPECT_EQ(launches_, 2);
}

// What is recorded runs at the same time, so that nothing is lost.
TEST_F(PassesTest, MemoryAllocatedWhileOneIsRecordedEndsTheRecording) {
  run_before({7});
  device_->begin_pass(std::vector<std::uint32_t>{7});
  launch(2);
  EXPECT_EQ(launches_, 2 + 2);
  device_->release(allocate());
  launch(3);
  EXPECT_EQ(launches_, 2 + 2 + 1);
  EXPECT_TRUE(device_->status().ok());
}

TEST_F(PassesTest, AreGivenUpWhereTheDeviceRecordsNothing) {
  records_ = false;
  run_before({7});
  EXPECT_EQ(run({7}, 1, 2), 8);
  EXPECT_EQ(launches_, 2 + 1) << "the first was refused, and no other tried";
  records_ = true;
  for (std::uint64_t i = 0; i < kRunsBefore + 2; ++i) {
    EXPECT_EQ(run({9}, 1, 1), 5);
    EXPECT_EQ(launches_, 2);
  }
  EXPECT_TRUE(device_->status().ok());
}

TEST_F(PassesTest, KeepsThoseThatWereUsedLast) {
  const std::uint32_t kept = kPassesKept;
  run_recorded({0});
  for (std::uint32_t shape = 1; shape < kept; ++shape) run_before({shape});
  run({0}, 1, 1);
  EXPECT_EQ(launches_, 0);
  run({kept}, 1, 1);  // in the place of 1
  run({0}, 1, 1);
  EXPECT_EQ(launches_, 0);
  run({2}, 1, 1);
  EXPECT_EQ(launches_, 2 * 2) << "is recorded";
  run({1}, 1, 1);
  EXPECT_EQ(launches_, 2) << "is as new";
}

TEST_F(PassesTest, OneThatIsUnlikeItsRecordingFailsTheDevice) {
  run_recorded({7});
  const double wide = 0;
  device_->begin_pass(std::vector<std::uint32_t>{7});
  device_->write(&wide, sizeof wide, out_);
  ASSERT_FALSE(device_->status().ok());
  EXPECT_EQ(device_->status().error().message, "a pass wrote 8 bytes that its recording does not");
}

TEST_F(PassesTest, OneThatEndsTooEarlyFailsTheDevice) {
  run_recorded({7});
  const float zero = 0;
  float got = 0;
  device_->begin_pass(std::vector<std::uint32_t>{7});
  device_->write(&zero, sizeof zero, out_);
  device_->read(out_, sizeof got, &got);
  ASSERT_FALSE(device_->status().ok());
  EXPECT_EQ(device_->status().error().message, "the card does not repeat what was recorded");
}

}  // namespace
}  // namespace sheaf::kernels::cuda
