// States in bfloat16 where parity does not look: beside float32 in one operation, in slices, and
// what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/dry_run.h"
#include "kernels/ops.h"
#include "tensor/bfloat16.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

// A number's distance to what it is rounded to, by its size.
constexpr double kRounding = 0x1p-8;

class States : public ::testing::Test {
 protected:
  void SetUp() override { compute_in(Dtype::bfloat16); }

  void compute_in(Dtype dtype) {
    for (const DeviceBackend& backend : emulated_backends({.own_memory_only = true}))
      if (backend.dtype == dtype) backend_ = std::move(*backend.make({}));
  }

  // Whole in bfloat16.
  std::vector<float> values(std::size_t count, float scale, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(count);
    for (float& value : values)
      value = tensor::from_bfloat16(tensor::to_bfloat16(normal(generator)));
    return values;
  }
  const float* floats(const std::vector<float>& host) {
    return buffers_.emplace_back().hold(std::span(host), backend_->memory());
  }
  const std::byte* halves(const std::vector<float>& host) {
    const auto words = tensor::to_bfloat16(host);
    return reinterpret_cast<const std::byte*>(
        buffers_.emplace_back().hold(std::span<const std::uint32_t>(words), backend_->memory()));
  }
  TypedView as_states(const std::vector<float>& host, std::size_t columns) {
    return {halves(host), Dtype::bfloat16, host.size() / columns, columns, columns};
  }
  TypedSpan room(std::size_t rows, std::size_t columns) {
    return backend_->states(buffers_.emplace_back(), rows, columns);
  }
  std::vector<float> back(TypedView x) {
    std::vector<float> copy;
    tensor::on_host(x, backend_->memory(), copy);
    return copy;
  }
  Linear packed(const std::vector<float>& weight, const std::vector<float>& bias,
                Role role = Role::other) {
    const std::size_t inputs = weight.size() / bias.size();
    std::vector<float> host(backend_->packed_floats(inputs, bias.size(), role));
    backend_->pack_linear({weight.data(), bias.size(), inputs}, {}, host.data(), role);
    return {floats(host), floats(bias), inputs, bias.size(), halves(bias), role};
  }

  std::unique_ptr<Backend> backend_;
  std::vector<tensor::Buffer> buffers_ = [] {
    std::vector<tensor::Buffer> buffers;
    buffers.reserve(32);
    return buffers;
  }();
};

std::vector<double> product(const std::vector<float>& x, const std::vector<float>& weight,
                            const std::vector<float>& bias) {
  const std::size_t inputs = weight.size() / bias.size();
  std::vector<double> out;
  for (std::size_t t = 0; t < x.size() / inputs; ++t)
    for (std::size_t n = 0; n < bias.size(); ++n) {
      double sum = bias[n];
      for (std::size_t i = 0; i < inputs; ++i)
        sum += double{x[t * inputs + i]} * weight[n * inputs + i];
      out.push_back(sum);
    }
  return out;
}

// From states or float32, to states or float32; of one token, too, and of odd columns.
TEST_F(States, StandBesideFloatsInProducts) {
  for (const std::size_t inputs : {16, 13})
    for (const std::size_t outputs : {24, 7})
      for (const std::size_t rows : {1, 5}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, " << inputs << " -> " << outputs);
        const auto x = values(rows * inputs, 1, 1), weight = values(outputs * inputs, 0.3f, 2),
                   bias = values(outputs, 1, 3);
        const Linear linear = packed(weight, bias);
        const auto want = product(x, weight, bias);
        const MatrixView x_floats = {floats(x), rows, inputs};
        for (const TypedView& from : {as_states(x, inputs), TypedView(x_floats)}) {
          const TypedSpan rounded = room(rows, outputs);
          const MatrixSpan exact =
              buffers_.emplace_back().matrix(rows, outputs, backend_->memory());
          backend_->linear(from, linear, Activation::none, {}, rounded);
          backend_->linear(from, linear, Activation::none, {}, exact);
          const auto got_rounded = back(rounded), got_exact = back(exact);
          for (std::size_t i = 0; i < want.size(); ++i) {
            EXPECT_NEAR(got_exact[i], want[i], 1e-5);
            EXPECT_NEAR(got_rounded[i], want[i], 1e-5 + kRounding * std::abs(want[i]));
          }
        }
        buffers_.clear();
      }
  EXPECT_TRUE(backend_->status().ok());
}

// A slice of the right place is used as it is, one that begins or steps elsewhere is copied.
TEST_F(States, InSlicesOfColumnsAreOperands) {
  constexpr std::size_t kRows = 9, kInputs = 16, kOutputs = 8;
  const auto weight = values(kOutputs * kInputs, 0.3f, 2), bias = values(kOutputs, 1, 3);
  const Linear linear = packed(weight, bias);
  for (const std::size_t stride : {40, 43})
    for (const std::size_t first : {8, 3}) {
      SCOPED_TRACE(testing::Message() << "from " << first << " of " << stride);
      const auto all = values(kRows * stride, 1, 1);
      std::vector<float> x;
      for (std::size_t t = 0; t < kRows; ++t)
        x.insert(x.end(), &all[t * stride + first], &all[t * stride + first] + kInputs);
      const TypedSpan out = room(kRows, stride);
      backend_->linear(as_states(all, stride).slice_columns(first, kInputs), linear,
                       Activation::none, {}, out.slice_columns(first, kOutputs));
      const auto want = product(x, weight, bias);
      const auto got = back(out.slice_columns(first, kOutputs));
      for (std::size_t i = 0; i < want.size(); ++i)
        EXPECT_NEAR(got[i / kOutputs * stride + i % kOutputs], want[i],
                    1e-5 + kRounding * std::abs(want[i]));
    }
  EXPECT_TRUE(backend_->status().ok());
}

// Wherever they lie, and what is added to them, and where they are written.
TEST_F(States, InSlicesAreMultipliedAlikeInInt8) {
  compute_in(Dtype::int8);
  constexpr std::size_t kRows = 9, kInputs = 136, kOutputs = 104;
  const Linear linear =
      packed(values(kOutputs * kInputs, 0.3f, 2), values(kOutputs, 1, 3), Role::feed_forward);
  const auto x = values(kRows * kInputs, 1, 1), residual = values(kRows * kOutputs, 1, 4);
  const TypedSpan whole = room(kRows, kOutputs);
  backend_->linear(as_states(x, kInputs), linear, Activation::gelu, as_states(residual, kOutputs),
                   whole);
  const auto want = back(whole);
  for (const std::size_t stride : {160, 163})
    for (const std::size_t first : {8, 3}) {
      SCOPED_TRACE(testing::Message() << "from " << first << " of " << stride);
      const auto in_slice = [&](const std::vector<float>& of, std::size_t columns) {
        std::vector<float> all(kRows * stride, NAN);
        for (std::size_t i = 0; i < of.size(); ++i)
          all[i / columns * stride + first + i % columns] = of[i];
        return as_states(all, stride).slice_columns(first, columns);
      };
      const TypedSpan out = room(kRows, stride);
      backend_->linear(in_slice(x, kInputs), linear, Activation::gelu, in_slice(residual, kOutputs),
                       out.slice_columns(first, kOutputs));
      const auto got = back(out.slice_columns(first, kOutputs));
      for (std::size_t i = 0; i < want.size(); ++i)
        EXPECT_EQ(got[i / kOutputs * stride + i % kOutputs], want[i]);
    }
  EXPECT_TRUE(backend_->status().ok());
}

TEST_F(States, AndFloatsAreNormalizedAndPooled) {
  const std::vector<std::uint32_t> bounds = {0, 1, 4};
  const std::vector<PoolItem> items(2, {.dimensions = 24, .normalize = false});
  const Reduction mean[] = {Reduction::mean};
  const auto x = values(4 * 24, 1, 1);
  const Norm norm{.scale = floats(values(24, 1, 2)), .epsilon = 1e-6f};
  const TypedView rounded = as_states(x, 24);
  const TypedView exact = MatrixView{floats(x), 4, 24};
  const TypedSpan of_rounded = room(4, 24);
  const MatrixSpan of_exact = buffers_.emplace_back().matrix(4, 24, backend_->memory());
  backend_->normalize(rounded, norm, rounded, of_rounded);
  backend_->normalize(exact, norm, exact, of_exact);
  const auto got = back(of_rounded), want = back(of_exact);
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got[i], want[i], 1e-6 + kRounding * std::abs(want[i]));

  const MatrixSpan pooled = buffers_.emplace_back().matrix(2, 24, backend_->memory());
  const MatrixSpan pooled_exact = buffers_.emplace_back().matrix(2, 24, backend_->memory());
  backend_->pool(rounded, bounds, mean, items, pooled);
  backend_->pool(exact, bounds, mean, items, pooled_exact);
  EXPECT_EQ(back(pooled), back(pooled_exact)) << "what is read is the same";
  EXPECT_TRUE(backend_->status().ok());
}

// As a footprint is found: half of what float32 would take, and no operands beside them.
TEST_F(States, TakeTwoBytesInADryRun) {
  const auto dry = make_dry_run(std::move(backend_));
  tensor::Buffer buffer;
  dry->states(buffer, 100, 64);
  EXPECT_EQ(buffer.bytes(), 100 * 64 * 2u);
  EXPECT_EQ(dry->linear_floats(100, 64), 0u);
  EXPECT_EQ(dry->linear_floats(100, 63), 100 * 64 / 2u);
  EXPECT_EQ(dry->middle_floats(100, 64), 100 * 64 / 2u);
}

TEST_F(States, AreNoFloats) {
  const auto x = values(2 * 16, 1, 1);
  backend_->gate(MatrixView{floats(x), 2, 16}, Activation::silu, room(2, 8));
  ASSERT_FALSE(backend_->status().ok());
  EXPECT_NE(backend_->status().error().message.find("dtype"), std::string::npos);
}

TEST_F(States, WantBiasesOfTheirOwn) {
  Linear linear = packed(values(8 * 8, 1, 1), values(8, 1, 2));
  linear.state_bias = nullptr;
  backend_->linear(as_states(values(8, 1, 3), 8), linear, Activation::none, {}, room(1, 8));
  ASSERT_FALSE(backend_->status().ok());
  EXPECT_NE(backend_->status().error().message.find("bias"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
