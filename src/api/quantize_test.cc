#include "api/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace sheaf::api {
namespace {

using Integers = std::vector<std::int32_t>;

std::vector<float> random_vector(unsigned seed, std::size_t dimensions) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> vector(dimensions);
  for (float& value : vector) value = normal(random);
  return vector;
}

template <class A, class B>
double cosine(const A& a, const B& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double(a[i]) * double(b[i]);
    aa += double(a[i]) * double(a[i]);
    bb += double(b[i]) * double(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

TEST(Quantize, KeepsCosines) {
  const auto a = random_vector(1, 384);
  const auto b = random_vector(2, 384);
  EXPECT_GT(cosine(a, to_int8(a)), 0.9999);
  EXPECT_NEAR(cosine(to_int8(a), to_int8(b)), cosine(a, b), 2e-3);
}

TEST(Quantize, UsesTheWholeRange) {
  const std::vector<float> vector = {0.5f, -0.25f, 0.0f, -0.5f};
  EXPECT_EQ(to_int8(vector), (Integers{127, -64, 0, -127}));
  EXPECT_EQ(to_uint8(vector), (Integers{255, 64, 128, 1}));
  EXPECT_EQ(to_int8(std::vector<float>(3)), (Integers{0, 0, 0}));
}

TEST(Quantize, PacksBitsFromTheHighest) {
  const std::vector<float> nine = {1, -1, 0, 2, -3, 4, -5, 6, 7};
  EXPECT_EQ(to_ubinary(nine), (Integers{0b10010101, 0b10000000}));
  EXPECT_EQ(to_binary(nine), (Integers{0b10010101 - 128, 0}));
}

}  // namespace
}  // namespace sheaf::api
