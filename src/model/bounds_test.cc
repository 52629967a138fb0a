#include "model/bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/normal_values.h"

namespace sheaf::model {
namespace {

using kernels::normal_values;
using Values = std::vector<float>;

constexpr std::size_t kColumns = 48, kOutputs = 20;

// What a norm writes that neither centers nor adds: numbers whose squares sum up to their count.
Values written(const NormValues& norm, Values z) {
  const double squares = std::inner_product(z.begin(), z.end(), z.begin(), 0.0);
  for (std::size_t i = 0; i < z.size(); ++i) {
    z[i] *= std::sqrt(static_cast<float>(z.size() / squares)) * norm.scale[i];
    if (!norm.shift.empty()) z[i] += norm.shift[i];
  }
  return z;
}
float product(const Values& x, const float* row, float bias) {
  return std::inner_product(x.begin(), x.end(), row, bias);
}

struct BoundsTest : testing::Test {
  NormValues norm = {normal_values(kColumns, 1, 1), normal_values(kColumns, 0.5f, 2)};
  Values weight = normal_values(kOutputs * kColumns, 0.2f, 3), bias = normal_values(kOutputs, 1, 4);
  tensor::MatrixView rows{weight.data(), kOutputs, kColumns};
};

TEST_F(BoundsTest, HoldOfWhateverANormWrites) {
  for (unsigned seed = 10; seed < 200; ++seed) {
    const Values x = written(norm, normal_values(kColumns, 1, seed));
    for (const float value : x) ASSERT_LE(std::abs(value), largest_of(norm));
    for (std::size_t n = 0; n < kOutputs; ++n)
      ASSERT_LE(std::abs(product(x, rows.row(n), bias[n])),
                largest_of_product(norm, rows, bias.data()));
  }
}

// A text could be such that a number, or a sum, is as large as that; what is above it is for
// rounding.
TEST_F(BoundsTest, AreReached) {
  float largest = 0;
  for (std::size_t i = 0; i < kColumns; ++i)
    for (const float sign : {-1.0f, 1.0f}) {
      Values one(kColumns);
      one[i] = sign;
      largest = std::max(largest, std::abs(written(norm, one)[i]));
    }
  EXPECT_FLOAT_EQ(largest, largest_of(norm));

  float most = 0;
  for (std::size_t n = 0; n < kOutputs; ++n)
    for (const float sign : {-1.0f, 1.0f}) {
      Values along(kColumns);
      for (std::size_t i = 0; i < kColumns; ++i) along[i] = sign * rows.row(n)[i] * norm.scale[i];
      most = std::max(most, std::abs(product(written(norm, along), rows.row(n), bias[n])));
    }
  const float bound = largest_of_product(norm, rows, bias.data());
  EXPECT_GT(bound, most);
  EXPECT_LT(bound, 1.3f * most);
}

// Columns of a scale that leaves all others among fp8's smallest numbers, which may double there.
TEST_F(BoundsTest, HoldWhereInputsAreTheSmallestOfFp8) {
  norm.shift.clear();
  norm.scale.assign(kColumns, 1);
  norm.scale[0] = 16500;
  const float step = 0x1p-9f * largest_of(norm) / 448;  // of its smallest numbers
  for (std::size_t n = 0; n < kOutputs; ++n) {
    weight[n * kColumns] = 0;
    float rounded = 0;
    for (std::size_t i = 1; i < kColumns; ++i)
      rounded += std::max(1.0f, step) * 17 / 16 * std::abs(rows.row(n)[i]);  // each z is 1
    ASSERT_LE(rounded, largest_of_product(norm, rows, nullptr));
  }
}

TEST_F(BoundsTest, AreNumbersWhateverWeightsAre) {
  weight.assign(weight.size(), 1e30f);
  EXPECT_EQ(largest_of_product(norm, rows, nullptr), 1e30f);
  norm.scale[3] = 3e38f;
  EXPECT_EQ(largest_of(norm), 1e30f);
}

// Each number of x and weights by 1/16 at most, and x as a state by 2^-8 more.
TEST_F(BoundsTest, HoldOfRoundedNumbers) {
  for (std::size_t n = 0; n < kOutputs; ++n) {
    Values along(kColumns);
    for (std::size_t i = 0; i < kColumns; ++i) along[i] = rows.row(n)[i] * norm.scale[i];
    const Values x = written(norm, along);
    float most = bias[n];
    for (std::size_t i = 0; i < kColumns; ++i) {
      const float exact = x[i] * rows.row(n)[i];
      most += exact + std::abs(exact) * ((1 + 1 / 16.0f) * (1 + 1 / 16.0f) * (1 + 1 / 256.0f) - 1);
    }
    ASSERT_LE(std::abs(most), largest_of_product(norm, {rows.row(n), 1, kColumns}, &bias[n]));
  }
}

TEST_F(BoundsTest, ANormWithoutAShiftAndAProductWithoutABias) {
  norm.shift.clear();
  const float root = std::sqrt(static_cast<float>(kColumns));
  norm.scale.assign(kColumns, 2);
  weight.assign(weight.size(), 0.5f);
  EXPECT_FLOAT_EQ(largest_of(norm), 2 * root);
  // All numbers z are 1.
  EXPECT_NEAR(largest_of_product(norm, rows, nullptr), kColumns * 1.138f, 0.03f);
}

}  // namespace
}  // namespace sheaf::model
