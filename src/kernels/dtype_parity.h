#pragma once

// Products in bfloat16, float16, int8 and fp8 are what float32 makes of operands that are rounded
// before: those that a backend must round to are made here, and the reference multiplies them. Who
// includes it says which backends, as in ops_parity.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/normal_values.h"
#include "kernels/ops.h"
#include "kernels/parity_setup.h"
#include "kernels/position_tables.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {
namespace {

using Values = std::vector<float>;

float rounded_to_bfloat16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// To one of 2^10 steps between powers of two, those below 2^-14 as wide as those above it.
float rounded_to_float16(float x) {
  const float largest = 65504;
  if (!std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x == 0 ? 1.0f : x), -14);
  const float step = std::ldexp(1.0f, exponent - 10);
  const float near = std::nearbyint(x / step) * step;
  return std::abs(near) > largest ? std::copysign(INFINITY, x) : near;
}

// Steps of the largest of each 128 / 127, or of what two neighbours of one sign are together.
void round_to_int8(std::span<float> row, bool by_pairs) {
  for (std::size_t first = 0; first < row.size(); first += 128) {
    const std::span<float> block =
        row.subspan(first, std::min<std::size_t>(128, row.size() - first));
    float largest = 0;
    for (const float x : block) largest = std::max(largest, std::abs(x));
    for (std::size_t i = 1; by_pairs && i < block.size(); i += 2)
      largest = std::max(largest, std::abs(block[i - 1] + block[i]));
    const float scale = largest / 127;
    const float inverse = scale > 0 ? 1 / scale : 0;
    // Rounded once, as by a fused multiply-add: bfloat16 often lies near the middle of two steps.
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    for (float& x : block) x = (std::fma(x, inverse, kRound) - kRound) * scale;
  }
}

// To 3 bits behind the first below the largest, whose steps end at 2^-9 where it is 448.
void round_to_fp8(std::span<float> row) {
  float largest = 0;
  for (const float x : row) largest = std::max(largest, std::abs(x));
  const float scale = std::max(largest, 1e-30f) / 448;
  const float inverse = 1 / scale;
  for (float& x : row) {
    const float scaled = x * inverse;
    const int exponent = std::max(std::ilogb(scaled == 0 ? 1.0f : scaled), -6);
    const float step = std::ldexp(1.0f, exponent - 3);
    x = std::nearbyint(scaled / step) * step * scale;
  }
}

Values rounded(Values values, std::size_t columns, Dtype dtype, bool by_pairs = false) {
  if (dtype == Dtype::bfloat16) std::ranges::transform(values, values.begin(), rounded_to_bfloat16);
  if (dtype == Dtype::float16) std::ranges::transform(values, values.begin(), rounded_to_float16);
  for (std::size_t at = 0; dtype == Dtype::int8 && at < values.size(); at += columns)
    round_to_int8(std::span(values).subspan(at, columns), by_pairs);
  for (std::size_t at = 0; dtype == Dtype::fp8 && at < values.size(); at += columns)
    round_to_fp8(std::span(values).subspan(at, columns));
  return values;
}

// Products of the part of a model whose products are in fp8 or int8 where any are.
class Packed {
 public:
  Packed(const Backend& backend, const Values& weight, std::size_t inputs, const float* bias,
         const Known& known = {}, Role role = Role::feed_forward)
      : linear_{.bias = bias, .inputs = inputs, .outputs = weight.size() / inputs, .role = role} {
    const std::size_t floats = backend.packed_floats(inputs, linear_.outputs, role);
    EXPECT_EQ(floats % 16, 0u);
    std::fill_n(buffer_.reserve(floats), floats, 0.0f);
    backend.pack_linear({weight.data(), linear_.outputs, inputs}, known, buffer_.reserve(floats),
                        role);
    linear_.weight = buffer_.reserve(floats);
  }
  const Linear& linear() const { return linear_; }

 private:
  tensor::Buffer buffer_;
  Linear linear_;
};

class Dtypes : public ::testing::TestWithParam<Setup> {
 protected:
  void SetUp() override {
    backend_ = GetParam().make({.threads = GetParam().threads});
    reference_ = std::move(*make_backend("reference", {}));
  }

  void check(std::size_t rows, std::size_t inputs, std::size_t outputs, Activation activation,
             bool with_residual) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << inputs << " -> " << outputs);
    compare(rows, normal_values(rows * inputs, 1, 1),
            normal_values(outputs * inputs, 1 / std::sqrt(float(inputs)), 2), inputs, activation,
            with_residual);
  }

  // What a device is given as states, and what it answers, is rounded too.
  double rounding() const { return GetParam().states == Dtype::bfloat16 ? 0x1p-8 : 0; }
  Values as_states(Values values) const { return rounded(std::move(values), 1, GetParam().states); }

  // Whether what feed_forward() keeps is rounded to int8 without being a state before.
  bool rounds_middle_at_once() const {
    return backend_->dtype() == Dtype::int8 && GetParam().states != Dtype::float32 &&
           !GetParam().on_device;
  }

  // In what a product of this shape is computed.
  Dtype dtype_of(std::size_t inputs, std::size_t outputs) const {
    const bool fits = inputs % 16 == 0 && outputs % 16 == 0;
    return backend_->dtype() == Dtype::fp8 && !fits ? Dtype::bfloat16 : backend_->dtype();
  }

  void compare(std::size_t rows, const Values& x, const Values& weight, std::size_t inputs,
               Activation activation, bool with_residual) {
    const std::size_t outputs = weight.size() / inputs;
    const Values bias = as_states(normal_values(outputs, 1, 3));
    const Values residual = as_states(normal_values(rows * outputs, 1, 4));
    const MatrixView add =
        with_residual ? MatrixView{residual.data(), rows, outputs} : MatrixView();
    constexpr float kGuard = -12288;  // whole in 8 bits
    const Dtype dtype = dtype_of(inputs, outputs);
    const std::size_t stride = outputs + (dtype == Dtype::fp8 ? 16 : 3);
    Values got(rows * stride, kGuard), want(rows * stride, kGuard);
    backend_->linear({x.data(), rows, inputs},
                     Packed(*backend_, weight, inputs, bias.data()).linear(), activation, add,
                     {got.data(), rows, outputs, stride});
    const bool by_pairs = GetParam().backend == "cpu avx2 madd int8";
    const Values x_rounded = rounded(as_states(x), inputs, dtype, by_pairs);
    const Packed exact(*reference_, rounded(weight, inputs, dtype), inputs, bias.data());
    reference_->linear({x_rounded.data(), rows, inputs}, exact.linear(), activation, add,
                       {want.data(), rows, outputs, stride});
    const double tolerance = activation == Activation::gelu ? 6e-5 : 1e-5;
    // Sums below 7.5 are rounded before an activation, which is nowhere steeper than 1.13, and
    // where they are scaled by a kernel of its own: there as large ones as are asked for.
    const bool unscaled = dtype == Dtype::fp8 && GetParam().rounds_fp8_sums;
    const bool sums_rounded = activation != Activation::none || unscaled;
    const double of_sum = sums_rounded ? 1.13 * 7.5 * rounding() : 0;
    const double of_size = unscaled ? 2 * rounding() : rounding();
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], want[i],
                  tolerance * (1 + std::abs(want[i])) + of_sum + of_size * std::abs(want[i]))
          << "row " << i / stride << " column " << i % stride;
  }

  std::unique_ptr<Backend> backend_, reference_;
};

TEST_P(Dtypes, LinearIsThatOfRoundedOperands) {
  const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},   {3, 5},    {17, 33},  {63, 15},
                                                        {65, 64}, {127, 32}, {401, 16}, {16, 16},
                                                        {80, 48}, {64, 272}};
  for (const auto& [inputs, outputs] : shapes)
    for (const std::size_t rows : {1, 2, 13, 16, 17, 32, 33, 97}) {
      check(rows, inputs, outputs, Activation::none, false);
      check(rows, inputs, outputs, Activation::gelu, true);
    }
  check(50, 384, 192, Activation::none, false);
  check(200, 768, 96, Activation::silu, true);
}

// Sums of products as large as can be, of one sign or of changing ones.
TEST_P(Dtypes, NothingIsCutOff) {
  constexpr std::size_t kRows = 7, kInputs = 192, kOutputs = 48;
  Values x = normal_values(kRows * kInputs, 1, 1), weight = normal_values(kOutputs * kInputs, 1, 2);
  for (Values* values : {&x, &weight})
    for (float& value : *values) value = value < 0 ? -1.0f : 1.0f;
  std::fill_n(x.begin(), kInputs, 1.0f);
  std::fill_n(x.begin() + kInputs, kInputs, -1.0f);
  std::fill_n(weight.begin(), kInputs, 1.0f);
  std::fill_n(weight.begin() + kInputs, kInputs, -1.0f);
  compare(kRows, x, weight, kInputs, Activation::none, false);
}

// Halves may be rounded to states between the two, or not.
TEST_P(Dtypes, LinearGatedIsThatOfRoundedOperands) {
  constexpr std::size_t kShapes[][2] = {{64, 128}, {192, 256}, {320, 128}, {40, 24}, {33, 7}};
  for (const auto& [inputs, columns] : kShapes)
    for (const std::size_t rows : {1, 33, 129, 300})
      for (const bool with_bias : {false, true}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, " << inputs << " -> " << columns);
        const Values x = normal_values(rows * inputs, 1, 1);
        const Values weight = normal_values(2 * columns * inputs, 1 / std::sqrt(float(inputs)), 2);
        const Values bias = as_states(normal_values(2 * columns, 1, 3));
        const float* const added = with_bias ? bias.data() : nullptr;
        const Dtype dtype = dtype_of(inputs, 2 * columns);
        const bool by_pairs = GetParam().backend == "cpu avx2 madd int8";
        const Values x_rounded = rounded(as_states(x), inputs, dtype, by_pairs);
        const Packed exact(*reference_, rounded(weight, inputs, dtype), inputs, added);
        const Packed packed(*backend_, weight, inputs, added);
        for (const Activation activation :
             {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
          Values halves(rows * 2 * columns), want_halves(rows * 2 * columns);
          Values got(rows * columns), want(rows * columns);
          backend_->linear_gated({x.data(), rows, inputs}, packed.linear(), activation,
                                 {halves.data(), rows, 2 * columns}, {got.data(), rows, columns});
          reference_->linear_gated({x_rounded.data(), rows, inputs}, exact.linear(), activation,
                                   {want_halves.data(), rows, 2 * columns},
                                   {want.data(), rows, columns});
          for (std::size_t i = 0; i < got.size(); ++i) {
            const float* const left = want_halves.data() + i / columns * 2 * columns + i % columns;
            // As NothingIsCutOff and others have it for a half; activations are nowhere steeper
            // than 1.13.
            const double twice = GetParam().rounds_fp8_sums ? 2 : 1;
            const double of_half = 1e-5 + twice * rounding() * (7.5 * (twice - 1) + 1);
            const double size = std::abs(left[0]) + std::abs(left[columns]) + 1;
            ASSERT_NEAR(got[i], want[i], 1.13 * of_half * size * size + 6e-5 * size)
                << name_of(dtype) << ", row " << i / columns << " column " << i % columns;
          }
        }
      }
}

// To the bit, whoever writes what the second product takes.
TEST_P(Dtypes, FeedForwardGatedIsItsOperations) {
  constexpr std::size_t kShapes[][2] = {{64, 128}, {192, 272}, {320, 48}, {40, 24}, {33, 7}};
  for (const auto& [columns, wide] : kShapes)
    for (const std::size_t rows : {1, 5, 129}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << columns << " -> " << wide);
      Values x = normal_values(rows * columns, 1, 1);
      if (rows == 5) x[3 * columns + 2] = std::nanf("");
      if (rows == 129) x[7 * columns] = INFINITY;
      const Values up = normal_values(2 * wide * columns, 1 / std::sqrt(float(columns)), 2);
      const Values down = normal_values(wide * columns, 1 / std::sqrt(float(wide)), 3);
      const Values sizes = normal_values(wide, 1, 5), bias = normal_values(columns, 1, 4);
      const Packed first(*backend_, up, columns, nullptr);
      const Packed second(*backend_, down, wide, bias.data(), {.input_sizes = sizes.data()});
      Values halves(rows * 2 * wide), gated(rows * wide);
      Values got(rows * columns, 7), want(rows * columns, 9);
      const MatrixView from{x.data(), rows, columns};
      const MatrixSpan pairs{halves.data(), rows, 2 * wide}, between{gated.data(), rows, wide};
      for (const Activation activation : {Activation::silu, Activation::gelu}) {
        backend_->linear_gated(from, first.linear(), activation, pairs, between);
        backend_->linear(between, second.linear(), Activation::none, from,
                         {want.data(), rows, columns});
        backend_->feed_forward_gated(from, first.linear(), activation, second.linear(), from, pairs,
                                     between, {got.data(), rows, columns});
        for (std::size_t i = 0; i < got.size(); ++i)
          ASSERT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])))
              << "row " << i / columns << " column " << i % columns << ": " << got[i] << " is not "
              << want[i];
      }
    }
}

// To the bit: what lies between is rounded once, whichever of the two does it. Only where it would
// be a state in bfloat16 first, and within feed_forward() is int8 at once, some of its numbers are
// a step of 1/127 of a block's largest apart.
TEST_P(Dtypes, FeedForwardIsItsTwoProducts) {
  const bool twice = rounds_middle_at_once();
  const float apart = twice ? 0.06f : 0;
  const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},    {33, 31},  {64, 65},   {70, 97},
                                                        {96, 128}, {128, 33}, {384, 1536}};
  for (const auto& [columns, wide] : shapes)
    for (const std::size_t rows : {1, 16, 17, 33, 70, 300}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << columns << " -> " << wide);
      Values x = normal_values(rows * columns, 1, 1);
      if (rows == 33) x[20 * columns] = std::nanf("");
      if (rows == 33) x[7 * columns] = INFINITY;
      const Values up = normal_values(wide * columns, 1 / std::sqrt(float(columns)), 2);
      const Values down = normal_values(wide * columns, 1 / std::sqrt(float(wide)), 3);
      const Values up_bias = normal_values(wide, 1, 4), down_bias = normal_values(columns, 1, 5);
      const Packed first(*backend_, up, columns, up_bias.data());
      const Packed second(*backend_, down, wide, down_bias.data());
      Values middle(rows * wide), got(rows * columns, 7), want(rows * columns, 9);
      const MatrixView from{x.data(), rows, columns};
      backend_->linear(from, first.linear(), Activation::gelu, {}, {middle.data(), rows, wide});
      backend_->linear({middle.data(), rows, wide}, second.linear(), Activation::none, from,
                       {want.data(), rows, columns});
      backend_->feed_forward(from, first.linear(), Activation::gelu, second.linear(), from,
                             {got.data(), rows, columns});
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_TRUE(got[i] == want[i] || std::abs(got[i] - want[i]) <= apart ||
                    (std::isnan(got[i]) && std::isnan(want[i])))
            << "row " << i / columns << " column " << i % columns << ": " << got[i] << " is not "
            << want[i];
    }
}

// To the bit, but for a device that does all of it in one: that may round a number of the middle,
// or a sum below 8, to the state beside the one that others round it to.
TEST_P(Dtypes, FeedForwardNormalizedIsItsOperations) {
  struct Shape {
    std::size_t columns = 384, wide = 64, rows = 130, stride = 384;
    Activation activation = Activation::gelu;
    bool biases = true, shift = true, centered = true;
  };
  const Shape shapes[] = {{},
                          {.wide = 192, .rows = 1},
                          {.rows = 128, .biases = false},
                          {.wide = 192, .rows = 257},
                          {.rows = 33, .stride = 392, .shift = false, .centered = false},
                          {.rows = 40, .stride = 387},
                          {.wide = 100, .rows = 20},
                          {.columns = 64, .rows = 20, .stride = 64},
                          {.rows = 20, .activation = Activation::gelu_tanh},
                          {.rows = 20, .activation = Activation::relu},
                          {.rows = 20, .activation = Activation::silu}};
  for (const auto& [columns, wide, rows, stride, activation, biases, shift, centered] : shapes) {
    SCOPED_TRACE(testing::Message()
                 << rows << " rows, " << columns << " -> " << wide << ", stride " << stride);
    Values x = as_states(normal_values(rows * stride, 1, 1));
    if (rows == 33) x[20 * stride] = std::nanf("");
    const Values up = normal_values(wide * columns, 1 / std::sqrt(float(columns)), 2);
    const Values down = normal_values(wide * columns, 1 / std::sqrt(float(wide)), 3);
    const Values up_bias = normal_values(wide, 1, 4), down_bias = normal_values(columns, 1, 5);
    const Values scale = normal_values(columns, 1, 6), shifts = normal_values(columns, 1, 7);
    const Packed first(*backend_, up, columns, biases ? up_bias.data() : nullptr);
    const Packed second(*backend_, down, wide, biases ? down_bias.data() : nullptr);
    const Norm norm = {scale.data(), shift ? shifts.data() : nullptr, 1e-5f, centered};
    Values sum(rows * columns), got = x, want = x;
    const MatrixSpan between{sum.data(), rows, columns};
    backend_->feed_forward(MatrixView{x.data(), rows, columns, stride}, first.linear(), activation,
                           second.linear(), MatrixView{x.data(), rows, columns, stride}, between);
    backend_->normalize(MatrixView(between), norm, {},
                        MatrixSpan{want.data(), rows, columns, stride});
    backend_->feed_forward_normalized(MatrixSpan{got.data(), rows, columns, stride}, first.linear(),
                                      activation, second.linear(), norm, between);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double step = 8 * rounding() * std::abs(scale[std::min(i % stride, columns - 1)]);
      ASSERT_TRUE(got[i] == want[i] ||
                  std::abs(got[i] - want[i]) <= step + 2 * rounding() * std::abs(want[i]) ||
                  (i / stride == 20 && std::isnan(got[i]) && std::isnan(want[i])))
          << "row " << i / stride << " column " << i % stride << ": " << got[i] << " is not "
          << want[i];
    }
  }
}

// Inputs 40 times as large as others, which half of the outputs hardly take: told of them, int8
// rounds the others less coarsely; no other dtype has any use for it.
TEST_P(Dtypes, HowLargeInputsAreMayBeTold) {
  constexpr std::size_t kRows = 20, kInputs = 200, kOutputs = 256;
  Values x = normal_values(kRows * kInputs, 1, 1), sizes(kInputs, 1);
  Values weight = normal_values(kOutputs * kInputs, 1, 2);
  for (std::size_t k = 3; k < kInputs; k += 50) {
    sizes[k] = 40;
    for (std::size_t row = 0; row < kRows; ++row) x[row * kInputs + k] *= sizes[k];
    for (std::size_t n = 0; n < kOutputs / 2; ++n) weight[n * kInputs + k] /= sizes[k];
  }
  x = as_states(std::move(x));
  const auto product = [&](Backend& backend, const float* input_sizes) {
    const Packed packed(backend, weight, kInputs, nullptr, {.input_sizes = input_sizes});
    Values out(kRows * kOutputs);
    backend.linear({x.data(), kRows, kInputs}, packed.linear(), Activation::none, {},
                   {out.data(), kRows, kOutputs});
    return out;
  };
  const Values exact = product(*reference_, nullptr);
  // Of outputs that hardly take the large ones.
  const auto error = [&](const Values& got, const Values& want) {
    double squares = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      if (i % kOutputs < kOutputs / 2) squares += std::pow(got[i] - want[i], 2);
    return std::sqrt(squares);
  };
  const Values told = product(*backend_, sizes.data()), untold = product(*backend_, nullptr);
  if (backend_->dtype() == Dtype::int8)
    EXPECT_LT(error(told, exact), 0.5 * error(untold, exact));
  else
    EXPECT_EQ(told, untold);
  // What tells nothing changes nothing.
  const Values nothing(kInputs, 0.0f), poison(kInputs, std::nanf(""));
  EXPECT_EQ(product(*backend_, nothing.data()), untold);
  EXPECT_EQ(product(*backend_, poison.data()), untold);
  if (backend_->dtype() != Dtype::int8) return;
  // Beside them one that nobody takes, one of unknown size, and one that a few hardly take.
  for (std::size_t n = 0; n < kOutputs; ++n) {
    weight[n * kInputs + 10] = 0;
    if (n < 64) weight[n * kInputs + 20] *= 1e-6f;
  }
  Values mixed = sizes;
  mixed[30] = 0;
  const Values whole = product(*reference_, nullptr);
  EXPECT_LT(error(product(*backend_, mixed.data()), whole),
            0.7 * error(product(*backend_, nullptr), whole));
}

// The second product's inputs, which the first writes.
TEST_P(Dtypes, FeedForwardKnowsHowLargeItsMiddleIs) {
  const bool twice = rounds_middle_at_once();
  constexpr std::size_t kRows = 17, kColumns = 64, kWide = 300;
  const Values x = as_states(normal_values(kRows * kColumns, 1, 1));
  const Values up = normal_values(kWide * kColumns, 0.1f, 2);
  const Values down = normal_values(kWide * kColumns, 0.1f, 3);
  Values sizes = normal_values(kWide, 3, 4);
  std::ranges::transform(sizes, sizes.begin(), [](float size) { return std::exp(size); });
  const Packed first(*backend_, up, kColumns, nullptr);
  const Packed second(*backend_, down, kWide, nullptr, {.input_sizes = sizes.data()});
  Values middle(kRows * kWide), got(kRows * kColumns), want(kRows * kColumns);
  const MatrixView from{x.data(), kRows, kColumns};
  backend_->linear(from, first.linear(), Activation::gelu, {}, {middle.data(), kRows, kWide});
  backend_->linear({middle.data(), kRows, kWide}, second.linear(), Activation::none, {},
                   {want.data(), kRows, kColumns});
  backend_->feed_forward(from, first.linear(), Activation::gelu, second.linear(), {},
                         {got.data(), kRows, kColumns});
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], twice ? 0.06 + 0x1p-6 * std::abs(want[i]) : 0) << "number " << i;
}

TEST_P(Dtypes, GeluKeepsItsBoundEverywhere) {
  Values points;
  for (float x = -12; x < 12; x += 0.0037f) points.push_back(x);
  for (float x : {0.0f, 1e-30f, -1e-30f, 4.2f, -4.2f, 100.0f, -100.0f, 1e10f, -1e10f})
    points.push_back(x);
  points = as_states(std::move(points));
  // What is added to nothing passes through the product unrounded.
  const Values weight(points.size(), 0.0f), zero(1, 0.0f);
  const Packed packed(*backend_, weight, 1, points.data());
  Values out(points.size());
  backend_->linear({zero.data(), 1, 1}, packed.linear(), Activation::gelu, {},
                   {out.data(), 1, out.size()});
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double x = points[i];
    const double want = 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    const double bound = std::max(rounding() > 0 ? 4.8e-4 : 0, 1.4e-5 * std::abs(x));
    EXPECT_NEAR(out[i], want, bound + rounding() * std::abs(want)) << x;
  }
}

TEST_P(Dtypes, ARowWithWhatIsNoNumberSpoilsNoOther) {
  constexpr std::size_t kRows = 40;
  for (const auto& [inputs, outputs] : {std::pair<std::size_t, std::size_t>(130, 35), {144, 48}}) {
    const Values weight = normal_values(outputs * inputs, 1, 2);
    Values x = normal_values(kRows * inputs, 1, 1);
    const Packed packed(*backend_, weight, inputs, nullptr);
    Values clean(kRows * outputs), got(kRows * outputs);
    const auto run = [&, inputs = inputs, outputs = outputs](Values& out) {
      backend_->linear({x.data(), kRows, inputs}, packed.linear(), Activation::none, {},
                       {out.data(), kRows, outputs});
    };
    run(clean);
    x[5 * inputs + 129] = std::nanf("");
    x[17 * inputs + 3] = INFINITY;
    run(got);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const std::size_t row = i / outputs;
      if (row == 5 || row == 17)
        EXPECT_FALSE(std::isfinite(got[i])) << "row " << row;
      else
        EXPECT_EQ(got[i], clean[i]) << "row " << row;
    }
  }
}

TEST_P(Dtypes, ZerosAreExact) {
  for (const auto& [inputs, outputs] : {std::pair<std::size_t, std::size_t>(70, 33), {80, 32}}) {
    const Values zeros(outputs * inputs, 0.0f), some = normal_values(outputs * inputs, 1, 1);
    for (const auto& [weight, x] : {std::pair(&zeros, &some), std::pair(&some, &zeros)}) {
      const Packed packed(*backend_, *weight, inputs, nullptr);
      Values out(3 * outputs, 1);
      backend_->linear({x->data(), 3, inputs}, packed.linear(), Activation::none, {},
                       {out.data(), 3, outputs});
      EXPECT_EQ(out, Values(3 * outputs, 0.0f));
    }
  }
}

// Words that are both looked up and multiplied by.
TEST_P(Dtypes, EmbedLooksUpRoundedWords) {
  constexpr std::size_t kWords = 48, kHidden = 80;
  const Values words = normal_values(kWords * kHidden, 1, 2);
  const Packed packed(*backend_, words, kHidden, nullptr, {}, Role::other);
  const std::int32_t ids[] = {0, 47, 31, 32, 7};
  const std::uint32_t bounds[] = {0, 5};
  Values out(5 * kHidden);
  backend_->embed({.packed_words = packed.linear()}, {ids, bounds, {}}, {out.data(), 5, kHidden});
  // Devices look them up in 16 bits.
  const bool in_bytes = GetParam().on_device && tensor::size_of(backend_->dtype()) == 1;
  const Dtype dtype = in_bytes ? Dtype::bfloat16 : backend_->dtype();
  const Values want = rounded(words, kHidden, dtype);
  for (std::size_t t = 0; t < 5; ++t)
    for (std::size_t i = 0; i < kHidden; ++i)
      EXPECT_NEAR(out[t * kHidden + i], want[ids[t] * kHidden + i],
                  1e-6 + rounding() * std::abs(want[ids[t] * kHidden + i]));
}

// By tiles q, k, v and the shares of softmax are rounded; the others compute in float32.
TEST_P(Dtypes, AttentionIsThatOfRoundedOperands) {
  const AttentionShape shapes[] = {
      {.heads = 2, .kv_heads = 2, .head_size = 32},
      {.heads = 3, .kv_heads = 1, .head_size = 64, .after = 0},
      {.heads = 1, .kv_heads = 1, .head_size = 128},
      {.heads = 2, .kv_heads = 1, .head_size = 256},
      {.heads = 2, .kv_heads = 2, .head_size = 64, .before = 70, .after = 3},
      {.heads = 2, .kv_heads = 1, .head_size = 12, .after = 0},
      {.heads = 1, .kv_heads = 1, .head_size = 40, .before = 20, .after = 20},
      {.heads = 1, .kv_heads = 1, .head_size = 32, .before = 5, .after = 0},
  };
  const std::vector<std::uint32_t> batches[] = {{0, 1}, {0, 16, 33, 50, 82}, {0, 128, 129, 300}};
  for (const AttentionShape& shape : shapes)
    for (const auto& bounds : batches) {
      SCOPED_TRACE(testing::Message() << shape.head_size << " wide, first " << bounds[1]);
      const std::size_t tokens = bounds.back(), columns = shape.heads * shape.head_size;
      const Values qkv = as_states(normal_values(tokens * shape.columns(), 1.5, 5));
      const bool rounds = GetParam().rounds_attention(shape);
      const Dtype dtype = backend_->dtype() == Dtype::float16 ? Dtype::float16 : Dtype::bfloat16;
      const Values same = rounds ? rounded(qkv, shape.columns(), dtype) : qkv;
      Values got(tokens * columns, 9), want(tokens * columns, 9);
      backend_->attention({qkv.data(), tokens, shape.columns()}, bounds, shape,
                          {got.data(), tokens, columns});
      reference_->attention({same.data(), tokens, shape.columns()}, bounds, shape,
                            {want.data(), tokens, columns});
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want[i], rounds ? 0.03 : 1e-5 + rounding() * std::abs(want[i]))
            << "row " << i / columns << " column " << i % columns;
    }
}

// By tiles tables are rounded too, and what they add to scores.
TEST_P(Dtypes, AttentionWithTablesIsThatOfRoundedOperands) {
  constexpr int kReach = 170;
  constexpr std::size_t kCount = 150;
  const auto rows = rows_by_distance(kReach, 60, kCount);
  const std::vector<std::uint32_t> batches[] = {{0, 1}, {0, 16, 33, 50, 82}, {0, 128, 129, 300}};
  for (const std::size_t size : {24, 32, 64, 128})
    for (const auto& bounds : batches) {
      SCOPED_TRACE(testing::Message() << size << " wide, first " << bounds[1]);
      AttentionShape shape{.heads = 2, .kv_heads = 2, .head_size = size};
      shape.relative = {.rows = rows.data(), .reach = kReach, .count = kCount};
      const std::size_t tokens = bounds.back(), columns = 2 * size;
      const bool rounds = GetParam().rounds_attention(shape);
      const Dtype products = backend_->dtype() == Dtype::float16 ? Dtype::float16 : Dtype::bfloat16;
      const Dtype dtype = rounds ? products : Dtype::float32;
      const Values qkv = as_states(normal_values(tokens * shape.columns(), 1, 5));
      const Values keys = normal_values(kCount * columns, 1, 18);
      const Values queries = normal_values(kCount * columns, 1, 19);
      const auto attend = [&](Backend& backend, const Values& x, const Values& of_keys,
                              const Values& of_queries) {
        PackedTable first(backend, {of_keys.data(), kCount, columns}, 2);
        PackedTable second(backend, {of_queries.data(), kCount, columns}, 2);
        shape.relative.keys = first.data();
        shape.relative.queries = second.data();
        Values out(tokens * columns, 9);
        backend.attention({x.data(), tokens, shape.columns()}, bounds, shape,
                          {out.data(), tokens, columns});
        return out;
      };
      const Values got = attend(*backend_, qkv, keys, queries);
      const Values want = attend(*reference_, rounded(qkv, 1, dtype), rounded(keys, 1, dtype),
                                 rounded(queries, 1, dtype));
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want[i], rounds ? 0.03 : 1e-5 + rounding() * std::abs(want[i]))
            << "row " << i / columns << " column " << i % columns;
    }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Dtypes);

}  // namespace
}  // namespace sheaf::kernels
