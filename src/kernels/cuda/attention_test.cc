// Attention by matrix units where the parity of dtypes does not look: biases, long texts, rows that
// lie at no multiple of 16 bytes, and how near it comes.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/cuda/target.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {
namespace {

std::vector<float> normal_values(std::size_t count, float scale, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

std::unique_ptr<Backend> emulated(Dtype dtype) {
  for (const DeviceBackend& backend : emulated_backends())
    if (backend.dtype == dtype) return std::move(*backend.make({}));
  return nullptr;
}

// The largest difference to the reference, both of q, k and v in float16.
double difference(const std::vector<std::uint32_t>& bounds, const AttentionShape& shape,
                  std::size_t stride) {
  const std::size_t tokens = bounds.back(), columns = shape.heads * shape.head_size;
  std::vector<float> qkv = normal_values(tokens * stride, 1, 5);
  for (float& value : qkv) value = to_float(from_float<Half>(value));
  std::vector<float> got(tokens * columns), want(tokens * columns);
  const MatrixView x = {qkv.data(), tokens, shape.columns(), stride};
  emulated(Dtype::float16)->attention(x, bounds, shape, {got.data(), tokens, columns});
  (*make_backend("reference", {}))->attention(x, bounds, shape, {want.data(), tokens, columns});
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    largest = std::max(largest, std::abs(double{got[i]} - want[i]));
  return largest;
}

// Weights of softmax are at most 1 and are rounded to 11 bits.
constexpr double kNear = 2e-3;

TEST(AttentionByMatrixUnits, IsNear) {
  const std::vector<std::uint32_t> bounds = {0, 1, 65, 129, 200};
  for (const std::size_t size : {32, 64, 128, 256}) {
    const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_size = size};
    EXPECT_LT(difference(bounds, shape, shape.columns()), kNear) << size;
  }
}

TEST(AttentionByMatrixUnits, AddsBiases) {
  constexpr std::size_t kReach = 150;
  const std::vector<float> bias = normal_values(2 * (2 * kReach + 1), 2, 7);
  const AttentionShape shape{
      .heads = 2, .kv_heads = 1, .head_size = 64, .bias = {bias.data(), kReach}};
  EXPECT_LT(difference({0, 150, 160}, shape, shape.columns()), kNear);
}

TEST(AttentionByMatrixUnits, StreamsLongTexts) {
  AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = 32};
  EXPECT_LT(difference({0, 1100, 1103}, shape, shape.columns()), kNear);
  shape.before = 127;  // keys of two or three tiles
  shape.after = 0;
  EXPECT_LT(difference({0, 1100, 1103}, shape, shape.columns()), kNear);
}

TEST(AttentionByMatrixUnits, TakesRowsThatLieAnywhere) {
  const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_size = 32, .before = 5, .after = 0};
  EXPECT_LT(difference({0, 70}, shape, shape.columns() + 3), kNear);
}

TEST(Attention, RefusesHeadsThatItHasNoKernelFor) {
  const auto backend = emulated(Dtype::float32);
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = 513};
  const std::vector<float> qkv(shape.columns());
  std::vector<float> out(shape.head_size);
  const std::vector<std::uint32_t> bounds = {0, 1};
  backend->attention({qkv.data(), 1, shape.columns()}, bounds, shape,
                     {out.data(), 1, shape.head_size});
  ASSERT_FALSE(backend->status().ok());
  EXPECT_EQ(backend->status().error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
