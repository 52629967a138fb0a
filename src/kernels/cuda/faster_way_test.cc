#include "kernels/cuda/faster_way.h"

#include <gtest/gtest.h>

#include <memory>

#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"

// Whose word counts of several that may ask the clock, which is the played one.
namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;

class FasterWayTest : public testing::Test {
 protected:
  static constexpr FasterWay::Shape kShape = {64, 128, 3};

  FasterWayTest() { played_library() = {}; }
  ~FasterWayTest() override { played_library() = {}; }

  static auto way_of(float milliseconds) {
    return [milliseconds] { played_library().clock_ms += milliseconds; };
  }
  static auto forbidden() {
    return [] { ADD_FAILURE() << "it was timed"; };
  }

  std::unique_ptr<Device> device_ = make_emulated_device(), other_device_ = make_emulated_device();
  Findings<bool> found_;
  FasterWay one_{*device_, found_}, other_{*other_device_, found_};
};

TEST_F(FasterWayTest, WhatOneHasFoundTheOtherTakes) {
  EXPECT_TRUE(one_.is_in_one(20, kShape, way_of(2), way_of(1)));
  EXPECT_TRUE(other_.is_in_one(23, kShape, forbidden(), forbidden()));
  EXPECT_FALSE(other_.is_in_one(200, kShape, way_of(1), way_of(2)));
  EXPECT_FALSE(one_.is_in_one(200, kShape, forbidden(), forbidden()));
}

TEST_F(FasterWayTest, WhoSharesNothingTimesForItself) {
  EXPECT_TRUE(one_.is_in_one(20, kShape, way_of(2), way_of(1)));
  Findings<bool> others;
  FasterWay alone(*other_device_, others);
  EXPECT_FALSE(alone.is_in_one(20, kShape, way_of(1), way_of(2)));
}

TEST_F(FasterWayTest, RowsAndShapeAreInTheQuestion) {
  EXPECT_TRUE(one_.is_in_one(20, kShape, way_of(2), way_of(1)));
  EXPECT_FALSE(one_.is_in_one(200, kShape, way_of(1), way_of(2)));
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    FasterWay::Shape shape = kShape;
    ++shape[i];
    EXPECT_FALSE(one_.is_in_one(20, shape, way_of(1), way_of(2))) << i;
  }
}

TEST_F(FasterWayTest, WhoTimesTheSameMeanwhileTakesWhatWasKeptFirst) {
  const auto apart = [&] {
    way_of(1)();
    other_.is_in_one(20, kShape, way_of(2), way_of(1));
  };
  EXPECT_TRUE(one_.is_in_one(20, kShape, apart, way_of(5)));
}

TEST_F(FasterWayTest, OneWhoseDeviceFailsTeachesNothing) {
  const auto failing = [&] { device_->fail({ErrorCode::internal, "the card failed"}); };
  EXPECT_FALSE(one_.is_in_one(20, kShape, failing, way_of(1)));
  EXPECT_TRUE(other_.is_in_one(20, kShape, way_of(2), way_of(1)));
}

}  // namespace
}  // namespace sheaf::kernels::cuda
