#include "kernels/cuda/product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device.h"
#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"
#include "tensor/buffer.h"

// What product.cc asks the library, and which of its algorithms it takes, by one that this
// processor plays. That the numbers are right in all shapes and dtypes is for parity_test.cc.
namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;

class ProductTest : public testing::Test {
 protected:
  static constexpr std::size_t kInputs = 16, kOutputs = 5, kRowsMax = 100;

  ProductTest() : x_(kRowsMax * kInputs), weight_(kOutputs * kInputs), out_(kRowsMax * kOutputs) {
    played_library() = {};
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = std::sin(static_cast<float>(i));
    for (std::size_t i = 0; i < weight_.size(); ++i) weight_[i] = std::cos(static_cast<float>(i));
  }
  ~ProductTest() override { played_library() = {}; }

  ProductTask task(std::size_t rows) {
    return {.x = x_.data(),
            .x_stride = kInputs,
            .weight = weight_.data(),
            .weight_stride = kInputs,
            .out = out_.data(),
            .out_stride = kOutputs,
            .rows = rows,
            .inputs = kInputs,
            .outputs = kOutputs};
  }
  float expected(std::size_t row, std::size_t output) const {
    float sum = 0;
    for (std::size_t i = 0; i < kInputs; ++i)
      sum += x_[row * kInputs + i] * weight_[output * kInputs + i];
    return sum;
  }
  static std::vector<unsigned> runs() {
    std::vector<unsigned> runs;
    for (const auto& algorithm : played_library().algorithms) runs.push_back(algorithm.runs);
    return runs;
  }

  std::vector<float> x_, weight_, out_;  // at multiples of 16 bytes
  std::unique_ptr<Device> device_ = make_emulated_device();
  tensor::Buffer workspace_;
  CardFindings findings_;
  std::unique_ptr<Product> product_ = make_product<float>(*device_, workspace_, findings_);
};

TEST_F(ProductTest, TakesTheFastestByTheClockAndAsksOnce) {
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}, {.milliseconds = 3}};
  for (int i = 0; i < 10; ++i) product_->run(task(7));
  ASSERT_TRUE(device_->status().ok());
  EXPECT_EQ(played_library().asked, 1u);
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4 + 10, 4}));
  EXPECT_NEAR(out_[6 * kOutputs + 4], expected(6, 4), 1e-5);
}

TEST_F(ProductTest, WhatWasFoundServesBatchesOfAboutAsManyRows) {
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}};
  product_->run(task(97));
  product_->run(task(100));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4 + 2}));
  product_->run(task(60));
  EXPECT_EQ(runs(), (std::vector<unsigned>{8, 8 + 3}));
}

TEST_F(ProductTest, TheProposalStaysWhereNothingIsGained) {
  played_library().algorithms = {{.milliseconds = 1}, {.milliseconds = 0.98F}};
  product_->run(task(7));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4 + 1, 4}));
}

TEST_F(ProductTest, AnAlgorithmThatFailsIsNotTaken) {
  played_library().algorithms = {{.milliseconds = 0.1F, .fails = true}, {.milliseconds = 1}};
  product_->run(task(7));
  ASSERT_TRUE(device_->status().ok());
  EXPECT_EQ(runs(), (std::vector<unsigned>{1, 4 + 1}));
}

TEST_F(ProductTest, AProposalThatSaysItIsNoneIsNotTaken) {
  played_library().algorithms = {{.milliseconds = 1, .usable = false}, {.milliseconds = 2}};
  product_->run(task(7));
  EXPECT_EQ(runs(), (std::vector<unsigned>{0, 4 + 1}));
}

TEST_F(ProductTest, OneThatWantsMoreWorkspaceIsNotAskedFor) {
  played_library().algorithms = {{.milliseconds = 2},
                                 {.milliseconds = 1, .workspace_bytes = kWorkspaceBytes + 1}};
  product_->run(task(7));
  EXPECT_EQ(runs(), (std::vector<unsigned>{5, 0}));
}

// What is timed runs several times.
TEST_F(ProductTest, AResidualInPlaceIsAddedOnce) {
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}};
  out_.assign(out_.size(), 10.0F);
  ProductTask in_place = task(7);
  in_place.residual = out_.data();
  in_place.residual_stride = kOutputs;
  product_->run(in_place);
  EXPECT_EQ(runs(), (std::vector<unsigned>{1, 0}));
  EXPECT_NEAR(out_[0], 10 + expected(0, 0), 1e-5);
}

TEST_F(ProductTest, AResidualElsewhereIsAddedOnceThoughAllAreTimed) {
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}};
  const std::vector<float> residual(7 * kOutputs, 10.0F);
  ProductTask added = task(7);
  added.residual = residual.data();
  added.residual_stride = kOutputs;
  product_->run(added);
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4 + 1}));
  EXPECT_NEAR(out_[34], 10 + expected(6, 4), 1e-5);
}

TEST_F(ProductTest, ABiasIsThatOfEachCall) {
  for (const float bias : {1.0F, -3.0F}) {
    const std::vector<float> biases(kOutputs, bias);
    ProductTask biased = task(7);
    biased.bias = biases.data();
    product_->run(biased);
    EXPECT_NEAR(out_[0], bias + expected(0, 0), 1e-5);
  }
  EXPECT_EQ(played_library().asked, 1u);
}

TEST_F(ProductTest, AnActivationThatTheLibraryHasNotIsLeftToTheCaller) {
  ProductTask activated = task(7);
  activated.activation = Activation::gelu;
  EXPECT_EQ(product_->run(activated), Left::nothing);
  EXPECT_NEAR(out_[0], activate(Activation::gelu_tanh, expected(0, 0)), 1e-5);
  activated.activation = Activation::silu;
  EXPECT_EQ(product_->run(activated), Left::activation);
  EXPECT_NEAR(out_[0], expected(0, 0), 1e-5);

  played_library().activates = false;
  activated = task(50);
  activated.activation = Activation::relu;
  EXPECT_EQ(product_->run(activated), Left::activation);
  EXPECT_NEAR(out_[0], expected(0, 0), 1e-5);
}

TEST_F(ProductTest, WithoutAProductTheDeviceFailsAndNamesIt) {
  played_library().algorithms.clear();
  product_->run(task(7));
  ASSERT_FALSE(device_->status().ok());
  EXPECT_EQ(device_->status().error().message, "cuBLASLt has no product of [7, 16] and [16, 5]");
  EXPECT_EQ(device_->status().error().code, ErrorCode::unsupported);
}

TEST_F(ProductTest, WhereAllFailTheDeviceDoes) {
  played_library().algorithms = {{.fails = true}, {.fails = true}};
  product_->run(task(7));
  ASSERT_FALSE(device_->status().ok());
  EXPECT_EQ(device_->status().error().message, "cuBLASLt failed: execution failed");
}

// Of the streams of one replica, each of which has a device of its own.
class SharedProductTest : public ProductTest {
 protected:
  std::unique_ptr<Device> other_device_ = make_emulated_device();
  tensor::Buffer other_workspace_;
};

TEST_F(SharedProductTest, WhatOneHasFoundTheOtherTakes) {
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 1}, {.milliseconds = 3}};
  product_->run(task(97));
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 3}, {.milliseconds = 1}};
  const auto other = make_product<float>(*other_device_, other_workspace_, findings_);
  other->run(task(100));
  EXPECT_EQ(runs(), (std::vector<unsigned>{0, 1, 0})) << "nothing was timed";
  EXPECT_NEAR(out_[99 * kOutputs], expected(99, 0), 1e-5);
}

TEST_F(SharedProductTest, WhoSharesNothingTimesForItself) {
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 1}, {.milliseconds = 3}};
  product_->run(task(97));
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 3}, {.milliseconds = 1}};
  CardFindings others;
  const auto other = make_product<float>(*other_device_, other_workspace_, others);
  other->run(task(97));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4, 4 + 1}));
}

TEST_F(SharedProductTest, AnotherDtypeIsAnotherQuestion) {
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 1}, {.milliseconds = 3}};
  product_->run(task(97));
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 3}, {.milliseconds = 1}};
  const auto other = make_product<Half>(*other_device_, other_workspace_, findings_);
  other->run(task(97));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4, 4 + 1}));
}

TEST_F(SharedProductTest, WhatDoesNotRunHereIsNotTaken) {
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}};
  product_->run(task(97));
  played_library().algorithms = {{.milliseconds = 2}};
  const auto other = make_product<float>(*other_device_, other_workspace_, findings_);
  other->run(task(97));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4 + 1}));
  EXPECT_TRUE(other_device_->status().ok());
}

TEST_F(SharedProductTest, OneWhoseDeviceFailsTeachesNothing) {
  played_library().algorithms = {{.milliseconds = 2, .fails = true},
                                 {.milliseconds = 1, .fails = true}};
  product_->run(task(97));
  ASSERT_FALSE(device_->status().ok());
  played_library().algorithms = {{.milliseconds = 2}, {.milliseconds = 1}};
  const auto other = make_product<float>(*other_device_, other_workspace_, findings_);
  other->run(task(97));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4 + 1}));
}

TEST_F(SharedProductTest, WhoTimesTheSameMeanwhileTakesWhatWasKeptFirst) {
  const auto other = make_product<float>(*other_device_, other_workspace_, findings_);
  auto& library = played_library();
  library.algorithms = {{.milliseconds = 3}, {.milliseconds = 1}, {.milliseconds = 3}};
  library.meanwhile = [&] {
    const emulation::PlayedLibrary own = std::exchange(
        library, {.algorithms = {{.milliseconds = 3}, {.milliseconds = 3}, {.milliseconds = 1}}});
    other->run(task(97));
    EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4, 4 + 1}));
    library = own;
  };
  product_->run(task(97));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4, 4 + 1}));
}

class Fp8ProductTest : public ProductTest {
 protected:
  // 7 rows, each output of which is 0.75 * kInputs, unscaled kInputs.
  ProductTask scaled_task() {
    ProductTask scaled = task(7);
    scaled.x = ones_.data();
    scaled.weight = ones_.data();
    scaled.x_scales = x_scales_.data();
    scaled.weight_scales = weight_scales_.data();
    return scaled;
  }

  std::vector<Fp8> ones_ = std::vector<Fp8>(7 * kInputs, from_float<Fp8>(1));
  std::vector<float> x_scales_ = std::vector<float>(7, 3.0F);
  std::vector<float> weight_scales_ = std::vector<float>(kOutputs, 0.25F);
};

TEST_F(Fp8ProductTest, LibrariesBefore129AreNotAskedToScale) {
  played_library().version = 120805;
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  EXPECT_EQ(product->run(scaled_task()), Left::scales_and_all_behind);
  EXPECT_FLOAT_EQ(out_[0], kInputs);
}

TEST_F(Fp8ProductTest, ABiasBehindResultsInFloat32IsLeftToTheCaller) {
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  const std::vector<float> bias(kOutputs, 10.0F);
  ProductTask biased = scaled_task();
  biased.bias = bias.data();
  EXPECT_EQ(product->run(biased), Left::scales_and_all_behind);
  EXPECT_FLOAT_EQ(out_[0], kInputs);
}

// Results are divided by what lies on the card, behind bias and activation.
TEST_F(Fp8ProductTest, ResultsInFp8AreScaledBehindTheActivation) {
  constexpr std::size_t kWide = 16;
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  const std::vector<Fp8> weight(kWide * kInputs, from_float<Fp8>(1));
  const std::vector<Bfloat16> bias(kWide, from_float<Bfloat16>(-20));
  std::vector<Fp8> out(7 * kWide);
  const float x_scale = 3, weight_scale = 0.5F, inverse = 4;
  ProductTask codes = scaled_task();
  codes.weight = weight.data();
  codes.x_scales = &x_scale;
  codes.weight_scales = &weight_scale;
  codes.one_scale = true;
  codes.results = Dtype::fp8;
  codes.out_scale_inverse = &inverse;
  codes.bias = bias.data();
  codes.activation = Activation::relu;
  codes.out = out.data();
  codes.out_stride = codes.outputs = kWide;
  EXPECT_EQ(product->run(codes), Left::nothing);
  EXPECT_FLOAT_EQ(to_float(out[6 * kWide]), 4 * (1.5F * kInputs - 20));
  const float half = 2;  // of another layer
  codes.out_scale_inverse = &half;
  EXPECT_EQ(product->run(codes), Left::nothing);
  EXPECT_FLOAT_EQ(to_float(out[6 * kWide]), 2 * (1.5F * kInputs - 20));

  // Nothing is written where the library refuses it, however late.
  out.assign(out.size(), from_float<Fp8>(7));
  played_library().writes_fp8 = false;
  EXPECT_EQ(product->run(codes), Left::all);
  played_library().writes_fp8 = true;
  EXPECT_EQ(product->run(codes), Left::all) << "once is enough";
  EXPECT_EQ(make_product<Fp8>(*device_, workspace_, findings_)->run(codes), Left::all)
      << "and for all that share what is found";
  codes.activation = Activation::silu;
  EXPECT_EQ(product->run(codes), Left::all);
  EXPECT_FLOAT_EQ(to_float(out[0]), 7);
  EXPECT_TRUE(device_->status().ok());
}

// One of each for all rows is another product than one for each.
TEST_F(Fp8ProductTest, OneScaleIsTheFirstOfEachForAllRows) {
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  ProductTask scaled = scaled_task();
  x_scales_[6] = 5;
  EXPECT_EQ(product->run(scaled), Left::nothing);
  EXPECT_FLOAT_EQ(out_[6 * kOutputs], 1.25F * kInputs);
  scaled.one_scale = true;
  EXPECT_EQ(product->run(scaled), Left::nothing);
  EXPECT_FLOAT_EQ(out_[6 * kOutputs], 0.75F * kInputs);
  scaled.one_scale = false;
  EXPECT_EQ(product->run(scaled), Left::nothing);
  EXPECT_FLOAT_EQ(out_[6 * kOutputs], 1.25F * kInputs);
}

// What fails for another reason is no refusal, and shows.
TEST_F(Fp8ProductTest, AFailureIsNoRefusal) {
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  EXPECT_EQ(product->run(scaled_task()), Left::nothing);
  played_library().algorithms[0].fails = true;
  product->run(scaled_task());
  EXPECT_EQ(device_->status().error().message, "cuBLASLt failed: execution failed");
}

// From then on it is asked for the product alone.
TEST_F(Fp8ProductTest, ScalesThatTheLibraryRefusesLateAreLeftToTheCaller) {
  const ProductTask scaled = scaled_task();
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  EXPECT_EQ(product->run(scaled), Left::nothing);
  EXPECT_FLOAT_EQ(out_[0], 0.75F * kInputs);
  played_library().scales = false;
  EXPECT_EQ(product->run(scaled), Left::scales_and_all_behind);
  EXPECT_FLOAT_EQ(out_[0], kInputs);
  played_library().scales = true;
  EXPECT_EQ(product->run(scaled), Left::scales_and_all_behind);
  EXPECT_TRUE(device_->status().ok());
}

TEST_F(Fp8ProductTest, HoweverItSaysThatItRefuses) {
  for (const cublasStatus_t refusal :
       {CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_ARCH_MISMATCH}) {
    CardFindings findings;
    const auto product = make_product<Fp8>(*device_, workspace_, findings);
    played_library().scales = false;
    played_library().refusal = refusal;
    EXPECT_EQ(product->run(scaled_task()), Left::scales_and_all_behind) << refusal;
    EXPECT_TRUE(device_->status().ok());
  }
}

TEST_F(Fp8ProductTest, WhatWasFoundWithScalesIsNotTakenWithout) {
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 1}, {.milliseconds = 3}};
  const ProductTask scaled = scaled_task();
  const auto product = make_product<Fp8>(*device_, workspace_, findings_);
  EXPECT_EQ(product->run(scaled), Left::nothing);
  played_library().algorithms = {{.milliseconds = 3}, {.milliseconds = 3}, {.milliseconds = 1}};
  played_library().scales = false;
  EXPECT_EQ(product->run(scaled), Left::scales_and_all_behind);
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 1 + 4, 4 + 1})) << "one was refused";
}

}  // namespace
}  // namespace sheaf::kernels::cuda
