#pragma once

// Parity: every operation of a backend of exact dtype, over many shapes, against the reference. Who
// includes it says which backends: INSTANTIATE_TEST_SUITE_P(, Ops, ValuesIn(setups), setup_name).
// One whose states and products are both bfloat16 is exact but for what it writes, since all that
// it is given here is rounded before.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

#include "kernels/ops.h"
#include "kernels/parity_setup.h"
#include "kernels/position_tables.h"
#include "tensor/bfloat16.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {
namespace {

using tensor::Buffer;

// Of the backend that a test runs for.
Dtype states_of_test = Dtype::float32;

// How far a number may be from what it is rounded to, by its size.
double rounding() { return states_of_test == Dtype::bfloat16 ? 0x1p-8 : 0; }
float rounded_as_state(float x) {
  if (states_of_test == Dtype::float32) return x;
  return tensor::from_bfloat16(tensor::to_bfloat16(x));
}
// Products of these tests stay below this, by which a rounded sum may change what an activation
// makes of it: it is nowhere steeper than 1.13.
constexpr double kLargestSum = 7.5;

// Owns a matrix of reproducible normal numbers.
class Random {
 public:
  Random(std::size_t rows, std::size_t columns, float scale, unsigned seed)
      : view_(buffer_.matrix(rows, columns)) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, scale);
    for (std::size_t i = 0; i < rows * columns; ++i)
      view_.data[i] = rounded_as_state(normal(generator));
  }
  MatrixView view() const { return view_; }
  const float* data() const { return view_.data; }
  double largest() const {
    double most = 0;
    for (std::size_t i = 0; i < view_.rows * view_.columns; ++i)
      most = std::max(most, std::abs(double{view_.data[i]}));
    return most;
  }

 private:
  Buffer buffer_;
  MatrixSpan view_;
};

// An output with a guard value behind each row, to catch writes past its end.
class Output {
 public:
  Output(std::size_t rows, std::size_t columns)
      : rows_(rows), columns_(columns), data_(rows * stride(), kGuardValue) {}
  MatrixSpan span() { return {data_.data(), rows_, columns_, stride()}; }

  bool guards_hold() {
    for (std::size_t i = 0; i < rows_; ++i)
      for (std::size_t j = columns_; j < stride(); ++j)
        if (data_[i * stride() + j] != kGuardValue) return false;
    return true;
  }

 private:
  // Rows that are whole lines of 8 columns begin where such lines do.
  std::size_t stride() const { return columns_ + (columns_ % 8 == 0 ? 8 : 5); }

  static constexpr float kGuardValue = -12288;  // whole in 8 bits
  std::size_t rows_;
  std::size_t columns_;
  std::vector<float> data_;
};

Output copy_of(const Random& x) {
  const MatrixView from = x.view();
  Output copy(from.rows, from.columns);
  for (std::size_t i = 0; i < from.rows; ++i)
    std::copy_n(from.row(i), from.columns, copy.span().row(i));
  return copy;
}

void expect_near(Output& got, Output& want, double tolerance) {
  const MatrixSpan a = got.span();
  const MatrixSpan b = want.span();
  EXPECT_TRUE(got.guards_hold());
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.columns; ++j) {
      const double x = a.row(i)[j];
      const double y = b.row(i)[j];
      ASSERT_NEAR(x, y, tolerance * (1 + std::abs(y)) + rounding() * std::abs(y))
          << "row " << i << " column " << j;
    }
}

std::vector<std::uint32_t> bounds_of(const std::vector<std::uint32_t>& lengths) {
  std::vector<std::uint32_t> bounds = {0};
  for (std::uint32_t length : lengths) bounds.push_back(bounds.back() + length);
  return bounds;
}

// Lengths of the texts of a batch.
const std::vector<std::vector<std::uint32_t>> kBatches = {{1},
                                                          {2},
                                                          {16},
                                                          {33},
                                                          {512},
                                                          {1, 1, 1},
                                                          {3, 17, 64, 31, 1, 128},
                                                          std::vector<std::uint32_t>(70, 2)};

class Ops : public ::testing::TestWithParam<Setup> {
 protected:
  void SetUp() override {
    states_of_test = GetParam().states;
    backend_ = GetParam().make({.threads = GetParam().threads, .progress = &progress_});
    reference_ = std::move(*make_backend("reference", {}));
  }

  Linear packed(const Backend& backend, const Random& weight, const Random& bias, Buffer& buffer) {
    const std::size_t floats = backend.packed_floats(weight.view().columns, weight.view().rows);
    EXPECT_EQ(floats % 16, 0u);
    backend.pack_linear(weight.view(), {}, buffer.reserve(floats));
    return {buffer.reserve(0), bias.data(), weight.view().columns, weight.view().rows};
  }

  void check_linear(std::size_t rows, std::size_t inputs, std::size_t outputs,
                    Activation activation, bool with_residual) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << inputs << " -> " << outputs);
    const Random x(rows, inputs, 1, 1);
    const Random weight(outputs, inputs, 1 / std::sqrt(static_cast<float>(inputs)), 2);
    const Random bias(1, outputs, 1, 3);
    const Random residual(rows, outputs, 1, 4);
    const MatrixView add = with_residual ? residual.view() : MatrixView();
    Buffer memory;
    Buffer reference_memory;
    Output got(rows, outputs);
    Output want(rows, outputs);
    backend_->linear(x.view(), packed(*backend_, weight, bias, memory), activation, add,
                     got.span());
    reference_->linear(x.view(), packed(*reference_, weight, bias, reference_memory), activation,
                       add, want.span());
    const double of_sum = activation == Activation::none ? 0 : 1.13 * kLargestSum * rounding();
    expect_near(got, want, 3e-6 + of_sum);
  }

  // Weights of softmax that are rounded: by as much as the largest value does the output change.
  double of_weights(const AttentionShape& shape, const Random& qkv) const {
    const bool rounds = states_of_test != Dtype::float32 && GetParam().rounds_attention(shape);
    return rounds ? rounding() * qkv.largest() : 0;
  }

  std::atomic<std::uint64_t> progress_{0};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Backend> reference_;
};

TEST_P(Ops, Linear) {
  const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},  {3, 5},    {17, 33},  {36, 108},
                                                        {64, 1}, {385, 70}, {401, 16}, {768, 31}};
  for (const auto& [inputs, outputs] : shapes)
    for (const std::size_t rows : {1, 2, 5, 6, 7, 13, 49, 97}) {
      check_linear(rows, inputs, outputs, Activation::none, false);
      check_linear(rows, inputs, outputs, Activation::gelu, false);
      check_linear(rows, inputs, outputs, Activation::none, true);
      check_linear(rows, inputs, outputs, Activation::silu, true);
      check_linear(rows, inputs, outputs, Activation::gelu_tanh, false);
      check_linear(rows, inputs, outputs, Activation::tanh, true);
    }
  check_linear(50, 384, 1152, Activation::none, false);
  check_linear(16, 1536, 384, Activation::none, true);
}

TEST_P(Ops, FeedForward) {
  for (const auto& [columns, wide] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {33, 70}, {385, 100}})
    for (const std::size_t rows : {1, 7, 50}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << columns << " -> " << wide);
      const Random x(rows, columns, 1, 1);
      const Random up(wide, columns, 1 / std::sqrt(static_cast<float>(columns)), 2);
      const Random down(columns, wide, 1 / std::sqrt(static_cast<float>(wide)), 3);
      const Random up_bias(1, wide, 1, 4), down_bias(1, columns, 1, 5),
          residual(rows, columns, 1, 6);
      Buffer up_memory, down_memory, reference_up, reference_down;
      Output got(rows, columns), want(rows, columns), without(rows, columns),
          want_without(rows, columns);
      const Linear first = packed(*backend_, up, up_bias, up_memory);
      const Linear second = packed(*backend_, down, down_bias, down_memory);
      backend_->feed_forward(x.view(), first, Activation::gelu, second, residual.view(),
                             got.span());
      backend_->feed_forward(x.view(), first, Activation::silu, second, {}, without.span());
      const Linear exact_first = packed(*reference_, up, up_bias, reference_up);
      const Linear exact_second = packed(*reference_, down, down_bias, reference_down);
      Buffer middle;
      const MatrixSpan between = middle.matrix(rows, wide);
      reference_->linear(x.view(), exact_first, Activation::gelu, {}, between);
      reference_->linear(between, exact_second, Activation::none, residual.view(), want.span());
      reference_->linear(x.view(), exact_first, Activation::silu, {}, between);
      reference_->linear(between, exact_second, Activation::none, {}, want_without.span());
      // Sums and activations are rounded, and meet weights of this mean size.
      const double weights = std::sqrt(static_cast<double>(wide)) * 0.8;
      const double of_middle = rounding() * 2.13 * 1.2 * weights;
      expect_near(got, want, 3e-6 + of_middle);
      expect_near(without, want_without, 3e-6 + of_middle);
    }
}

TEST_P(Ops, ActivationsKeepTheirBoundsEverywhere) {
  std::vector<float> points;
  for (float x = -12; x < 12; x += 0.0037f) points.push_back(x);
  for (float x : {0.0f, 1e-30f, -1e-30f, 5.55f, -5.55f, 100.0f, -100.0f, 1e10f, -1e10f})
    points.push_back(x);
  std::ranges::transform(points, points.begin(), rounded_as_state);
  const auto gelu = [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); };
  const auto gelu_tanh = [](double x) {
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  };
  const struct {
    Activation activation;
    std::function<double(double)> formula;
    std::function<double(double)> bound;
  } rows[] = {
      {Activation::gelu, gelu,
       [](double x) {
         return rounding() > 0 ? std::max(4.8e-4, 1.4e-5 * std::abs(x)) : 2.5e-7 * std::abs(x);
       }},
      {Activation::gelu_tanh, gelu_tanh, [](double x) { return 5e-7 * std::abs(x); }},
      {Activation::tanh, [](double x) { return std::tanh(x); }, [](double) { return 5e-7; }},
      {Activation::relu, [](double x) { return std::max(x, 0.0); }, [](double) { return 0.0; }},
  };
  const float one = 1;
  const float zero = 0;
  Buffer memory;
  backend_->pack_linear({&one, 1, 1}, {}, memory.reserve(backend_->packed_floats(1, 1)));
  std::vector<float> out(points.size());
  for (const auto& row : rows) {
    backend_->linear({points.data(), points.size(), 1}, {memory.reserve(0), &zero, 1, 1},
                     row.activation, {}, {out.data(), out.size(), 1});
    for (std::size_t i = 0; i < points.size(); ++i)
      EXPECT_NEAR(out[i], row.formula(points[i]),
                  row.bound(points[i]) + rounding() * std::abs(row.formula(points[i])))
          << points[i];
  }
}

TEST_P(Ops, Attention) {
  constexpr std::size_t kReach = 700;
  const Random bias(6, 2 * kReach + 1, 3, 17);
  const DistanceBias biased{bias.data(), kReach};
  const AttentionShape shapes[] = {
      {.heads = 1, .kv_heads = 1, .head_size = 32},
      {.heads = 3, .kv_heads = 3, .head_size = 32, .bias = biased},
      {.heads = 5, .kv_heads = 5, .head_size = 64},
      {.heads = 3, .kv_heads = 3, .head_size = 12, .after = 0},
      {.heads = 2, .kv_heads = 2, .head_size = 7, .before = 64, .after = 64},
      {.heads = 6, .kv_heads = 2, .head_size = 16, .after = 0},
      {.heads = 4, .kv_heads = 1, .head_size = 24, .before = 5, .after = 0, .bias = biased},
      {.heads = 2, .kv_heads = 1, .head_size = 16, .before = 0, .after = 3},
  };
  for (const auto& lengths : kBatches)
    for (const AttentionShape& shape : shapes) {
      SCOPED_TRACE(testing::Message()
                   << lengths.size() << " texts, first " << lengths[0] << ", " << shape.heads
                   << " of " << shape.kv_heads << " heads of " << shape.head_size << ", "
                   << shape.before << " before, " << shape.after << " after");
      const auto bounds = bounds_of(lengths);
      const Random qkv(bounds.back(), shape.columns(), 1.5, 5);
      Output got(bounds.back(), shape.heads * shape.head_size);
      Output want(bounds.back(), shape.heads * shape.head_size);
      backend_->attention(qkv.view(), bounds, shape, got.span());
      reference_->attention(qkv.view(), bounds, shape, want.span());
      expect_near(got, want, 5e-6 + of_weights(shape, qkv));
    }
}

TEST_P(Ops, AttentionWithRelativePositions) {
  constexpr int kReach = 600;
  const struct {
    AttentionShape shape;
    int single;
    int count;
    bool keys;
    bool queries;
  } cases[] = {
      {{.heads = 2, .kv_heads = 2, .head_size = 32}, 600, 1201, true, true},
      {{.heads = 3, .kv_heads = 3, .head_size = 16}, 16, 64, true, true},
      {{.heads = 2, .kv_heads = 2, .head_size = 7}, 5, 9, true, false},
      {{.heads = 1, .kv_heads = 1, .head_size = 64}, 128, 320, false, true},
      {{.heads = 2, .kv_heads = 1, .head_size = 128}, 20, 70, true, false},
      {{.heads = 1, .kv_heads = 1, .head_size = 400}, 3, 50, true, true},  // in blocks of inputs
      {{.heads = 4, .kv_heads = 2, .head_size = 12, .before = 70, .after = 9}, 40, 91, true, true},
      {{.heads = 1, .kv_heads = 1, .head_size = 3}, 0, 1, true, true},
  };
  for (const auto& lengths : kBatches)
    for (const auto& c : cases) {
      SCOPED_TRACE(testing::Message() << lengths.size() << " texts, first " << lengths[0] << ", "
                                      << c.count << " rows, heads of " << c.shape.head_size);
      const auto bounds = bounds_of(lengths);
      const auto rows = rows_by_distance(kReach, c.single, c.count);
      const std::size_t columns = c.shape.heads * c.shape.head_size;
      const Random qkv(bounds.back(), c.shape.columns(), 1, 5);
      const Random keys(static_cast<std::size_t>(c.count), columns, 1, 18);
      const Random queries(static_cast<std::size_t>(c.count), columns, 1, 19);
      Output got(bounds.back(), columns);
      Output want(bounds.back(), columns);
      const auto run = [&](Backend& backend, Output& out) {
        PackedTable of_keys(backend, keys.view(), c.shape.heads);
        PackedTable of_queries(backend, queries.view(), c.shape.heads);
        AttentionShape shape = c.shape;
        shape.relative = {.rows = rows.data(),
                          .reach = kReach,
                          .count = static_cast<std::size_t>(c.count),
                          .keys = c.keys ? of_keys.data() : nullptr,
                          .queries = c.queries ? of_queries.data() : nullptr};
        backend.attention(qkv.view(), bounds, shape, out.span());
      };
      run(*backend_, got);
      run(*reference_, want);
      AttentionShape shape = c.shape;
      shape.relative.rows = rows.data();
      expect_near(got, want, 1e-5 + of_weights(shape, qkv));
    }
}

TEST_P(Ops, AttentionWithScoresFarApart) {
  const Random qkv(40, 3 * 64, 40, 6);
  Output got(40, 64);
  Output want(40, 64);
  const auto bounds = bounds_of({40});
  const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_size = 32};
  backend_->attention(qkv.view(), bounds, shape, got.span());
  reference_->attention(qkv.view(), bounds, shape, want.span());
  expect_near(got, want, 2e-4 + of_weights(shape, qkv));
}

TEST_P(Ops, Normalize) {
  for (const std::size_t columns : {1, 7, 36, 384, 1000})
    for (const std::size_t rows : {1, 3, 70}) {
      const Random x(rows, columns, 2, 7);
      const Random scale(1, columns, 1, 8);
      const Random shift(1, columns, 1, 9);
      for (const Norm& norm :
           {Norm{scale.data(), shift.data(), 1e-6f}, Norm{scale.data(), nullptr, 1e-5f},
            Norm{scale.data(), nullptr, 1e-6f, false}}) {
        SCOPED_TRACE(testing::Message()
                     << rows << " x " << columns << (norm.centered ? "" : ", RMS"));
        Output got(rows, columns);
        Output want(rows, columns);
        const Random residual(rows, columns, 1, 10);
        for (const MatrixView& add : {residual.view(), MatrixView()}) {
          reference_->normalize(x.view(), norm, add, want.span());
          backend_->normalize(x.view(), norm, add, got.span());
          expect_near(got, want, 5e-6);
          Output same = copy_of(x);  // in place
          backend_->normalize(same.span(), norm, add, same.span());
          expect_near(same, want, 5e-6);
        }
      }
    }
}

TEST_P(Ops, TurnHeads) {
  for (const auto& lengths : kBatches)
    for (const auto& [size, pairs] :
         {std::pair<std::size_t, std::size_t>{16, 8}, {24, 12}, {14, 3}, {64, 32}, {80, 16}}) {
      const auto bounds = bounds_of(lengths);
      const Random x(bounds.back(), 3 * size, 2, 7);
      const Random cosines(600, pairs, 1, 8);
      const Random sines(600, pairs, 1, 9);
      const Random scales(2, size, 1, 10);
      const Rotary rotary{cosines.data(), sines.data(), pairs};
      const Norm query{scales.view().row(0), nullptr, 1e-6f, false};
      const Norm key{scales.view().row(1), scales.view().row(0), 1e-5f, false};
      for (const HeadNorms& norms : {HeadNorms{}, HeadNorms{query, key, 2}}) {
        SCOPED_TRACE(testing::Message() << size << " of " << pairs << " pairs, norms of "
                                        << norms.queries << ", first " << lengths[0]);
        Output got = copy_of(x);
        Output want = copy_of(x);
        backend_->turn_heads(got.span(), bounds, 3, norms, rotary);
        reference_->turn_heads(want.span(), bounds, 3, norms, rotary);
        expect_near(got, want, norms.queries == 0 ? 1e-6 : 1e-5);
      }
    }
}

// Each of some texts, behind rows that are not to be touched.
TEST_P(Ops, TurnHeadsOfSomeTexts) {
  const Random x(60, 2 * 16, 2, 7);
  const Random cosines(60, 8, 1, 8);
  const Random sines(60, 8, 1, 9);
  const std::vector<std::uint32_t> bounds = {7, 20, 51};
  Output got = copy_of(x);
  Output want = copy_of(x);
  backend_->turn_heads(got.span(), bounds, 2, {}, {cosines.data(), sines.data(), 8});
  reference_->turn_heads(want.span(), bounds, 2, {}, {cosines.data(), sines.data(), 8});
  expect_near(got, want, 1e-6);
}

TEST_P(Ops, Gate) {
  for (const std::size_t columns : {1, 9, 44, 512})
    for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh,
                                        Activation::silu, Activation::tanh, Activation::relu}) {
      const Random x(33, 2 * columns, 20, 7);
      Output got(33, columns);
      Output want(33, columns);
      backend_->gate(x.view(), activation, got.span());
      reference_->gate(x.view(), activation, want.span());
      expect_near(got, want, 2e-4);  // of values up to 400
    }
}

TEST_P(Ops, AddResidual) {
  for (const std::size_t columns : {1, 9, 44, 512})
    for (const bool with_residual : {true, false}) {
      const Random x(33, columns, 3, 7);
      const Random residual(33, columns, 3, 8);
      const MatrixView added = with_residual ? residual.view() : MatrixView();
      Output got(33, columns);
      Output want(33, columns);
      backend_->add_residual(x.view(), added, got.span());
      reference_->add_residual(x.view(), added, want.span());
      expect_near(got, want, 0);
    }
}

TEST_P(Ops, MixExperts) {
  for (const std::size_t columns : {5, 48})
    for (const auto& [count, chosen] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {8, 2}, {5, 5}, {3, 1}})
      for (const std::size_t rows : {1, 7, 300}) {
        SCOPED_TRACE(testing::Message() << chosen << " of " << count << ", " << rows << " rows");
        const std::size_t wide = 2 * columns + 1;
        const Random x(rows, columns, 1, 1);
        const Random logits(rows, count, 1.5, 2);
        const Random residual(rows, columns, 1, 3);
        const Random bias(1, columns, 1, 4);
        std::vector<Buffer> memory(4 * count);
        Output got(rows, columns);
        Output want(rows, columns);
        const auto mix = [&](Backend& backend, Buffer* buffers, MatrixView add, const float* shift,
                             Output& out) {
          std::vector<Linear> up;
          std::vector<Linear> down;
          for (unsigned i = 0; i < count; ++i) {
            const Random narrow(columns, wide, 0.2f, 20 + i);
            const Random broad(wide, columns, 0.2f, 40 + i);
            up.push_back(packed(backend, broad, broad, buffers[2 * i]));
            down.push_back(packed(backend, narrow, narrow, buffers[2 * i + 1]));
            up.back().bias = down.back().bias = nullptr;
          }
          backend.mix_experts(x.view(), logits.view(),
                              {.up = up, .down = down, .chosen = chosen, .bias = shift}, add,
                              out.span());
        };
        for (const bool plain : {false, true}) {
          const MatrixView add = plain ? MatrixView() : residual.view();
          const float* shift = plain ? nullptr : bias.data();
          mix(*backend_, memory.data(), add, shift, got);
          mix(*reference_, memory.data() + 2 * count, add, shift, want);
          // As in feed_forward, by these weights; shares of parts are together at most 1.
          const double of_parts = rounding() * 2.13 * 1.2 * 0.16 * static_cast<double>(wide);
          expect_near(got, want, 5e-6 + of_parts);
        }
      }
}

TEST_P(Ops, Embed) {
  for (const std::size_t hidden : {5, 36, 384})
    for (const auto& lengths : kBatches) {
      const auto bounds = bounds_of(lengths);
      const Random words(99, hidden, 1, 10);
      const Random positions(514, hidden, 1, 11);
      const Random rest(4, hidden, 1, 12);
      const Embedding table{.words = words.view(),
                            .positions = positions.view(),
                            .types = rest.view().slice_rows(0, 2),
                            .norm = {rest.view().row(2), rest.view().row(3), 1e-12f}};
      std::vector<std::int32_t> ids(bounds.back());
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 37 % 99);
      Output got(ids.size(), hidden);
      Output want(ids.size(), hidden);
      Embedding bare{.words = words.view()};
      Embedding uncounted = table;  // every 99th token, from the second on
      uncounted.first_position = 2;
      uncounted.uncounted_id = 37;
      std::vector<std::uint32_t> second_at;
      for (std::size_t i = 0; i < lengths.size(); ++i)
        second_at.push_back(static_cast<std::uint32_t>(i % 3 == 0 ? 0 : lengths[i] * i / 7));
      for (const Embedding& which : {table, bare, uncounted})
        for (const Texts& texts : {Texts{ids, bounds, {}}, Texts{ids, bounds, second_at}}) {
          backend_->embed(which, texts, got.span());
          reference_->embed(which, texts, want.span());
          expect_near(got, want, 1e-5);
        }
    }
}

TEST_P(Ops, Pool) {
  const Reduction all[] = {Reduction::cls,           Reduction::mean,
                           Reduction::max,           Reduction::mean_sqrt_len,
                           Reduction::weighted_mean, Reduction::last_token};
  for (const auto& lengths : kBatches) {
    const auto bounds = bounds_of(lengths);
    const Random x(bounds.back(), 37, 1, 13);
    std::vector<PoolItem> items;
    for (std::size_t i = 0; i < lengths.size(); ++i)
      items.push_back({.place = static_cast<std::uint32_t>(i % 2 * 7),
                       .dimensions = static_cast<std::uint32_t>(i % 3 == 0 ? 6 * 37 : 1 + i % 200),
                       .normalize = i % 2 == 0});
    Output got(lengths.size(), 6 * 37);
    Output want(lengths.size(), 6 * 37);
    backend_->pool(x.view(), bounds, all, items, got.span());
    reference_->pool(x.view(), bounds, all, items, want.span());
    EXPECT_TRUE(got.guards_hold());
    for (std::size_t i = 0; i < items.size(); ++i)
      for (std::size_t j = 0; j < items[i].dimensions; ++j)
        ASSERT_NEAR(got.span().row(i)[j], want.span().row(i)[j], 5e-6)
            << "text " << i << " column " << j;
  }
}

// An answer that hides that a token's state overflowed would be taken for one.
TEST_P(Ops, WhatIsNoNumberIsSeenInEveryReductionOfAllTokens) {
  const Reduction all[] = {Reduction::mean, Reduction::max, Reduction::mean_sqrt_len,
                           Reduction::weighted_mean};
  const std::vector<std::uint32_t> bounds = {0, 5, 9};
  for (std::size_t wrong = 0; wrong < 5; ++wrong) {
    Buffer buffer;
    const MatrixSpan x = buffer.matrix(9, 37);
    std::fill_n(x.data, 9 * 37, 1.0f);
    x.row(wrong)[3] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<PoolItem> items(2, PoolItem{.dimensions = 4 * 37});
    Output got(2, 4 * 37);
    backend_->pool(MatrixView(x), bounds, all, items, got.span());
    for (std::size_t reduction = 0; reduction < std::size(all); ++reduction) {
      EXPECT_TRUE(std::isnan(got.span().row(0)[reduction * 37 + 3])) << wrong << " " << reduction;
      EXPECT_TRUE(std::isfinite(got.span().row(1)[reduction * 37 + 3])) << wrong;
    }
  }
}

TEST_P(Ops, EmbedReadsWordsThatArePacked) {
  for (const std::size_t hidden : {7, 36, 385}) {
    SCOPED_TRACE(hidden);
    const Random words(77, hidden, 1, 8);
    Buffer memory;
    const Linear packed_words = packed(*backend_, words, words, memory);
    std::vector<std::int32_t> ids(77);
    std::iota(ids.begin(), ids.end(), 0);
    const std::vector<std::uint32_t> bounds = {0, 40, 77};
    Output got(77, hidden);
    backend_->embed({.packed_words = packed_words}, {ids, bounds, {}}, got.span());
    ASSERT_TRUE(got.guards_hold());
    for (std::size_t i = 0; i < 77; ++i)
      for (std::size_t j = 0; j < hidden; ++j)
        ASSERT_EQ(got.span().row(i)[j], words.view().row(i)[j]) << i << " " << j;
  }
}

TEST_P(Ops, WeighWords) {
  const std::pair<std::size_t, std::size_t> shapes[] = {{5, 3}, {36, 61}, {385, 130}};
  for (const auto& lengths : kBatches)
    for (const auto& [inputs, outputs] : shapes)
      for (const WordWeights how : {WordWeights{}, WordWeights{false, 2}, WordWeights{true, 1}}) {
        SCOPED_TRACE(testing::Message() << lengths.size() << " texts, first " << lengths[0] << ", "
                                        << inputs << " -> " << outputs);
        const auto bounds = bounds_of(lengths);
        const Random x(bounds.back(), inputs, 1, 1);
        const Random weight(outputs, inputs, 1 / std::sqrt(static_cast<float>(inputs)), 2);
        const Random bias(1, outputs, 1, 3);
        Buffer memory, reference_memory;
        Output got(lengths.size(), outputs), want(lengths.size(), outputs);
        backend_->weigh_words(x.view(), bounds, packed(*backend_, weight, bias, memory), how,
                              got.span());
        reference_->weigh_words(x.view(), bounds,
                                packed(*reference_, weight, bias, reference_memory), how,
                                want.span());
        expect_near(got, want, 1e-5);
      }
}

TEST_P(Ops, AWeightIsNoNumberWhereALogitIsNone) {
  const float one = 1;
  Buffer memory;
  backend_->pack_linear({&one, 1, 1}, {}, memory.reserve(backend_->packed_floats(1, 1)));
  const std::vector<float> x = {1, 2, std::nanf(""), 3, 1, 2};
  const std::vector<std::uint32_t> bounds = {0, 4, 6};
  for (const bool sum : {false, true}) {
    float out[2] = {};
    backend_->weigh_words({x.data(), 6, 1}, bounds, {memory.reserve(0), nullptr, 1, 1}, {sum},
                          {out, 2, 1});
    EXPECT_TRUE(std::isnan(out[0])) << out[0];
    EXPECT_FALSE(std::isnan(out[1]));
  }
}

TEST_P(Ops, ProgressIsRaisedOftenWithinOneOperation) {
  if (GetParam().on_device) GTEST_SKIP() << "a device shows progress by operation";
  const Random x(200, 512, 1, 14);
  const Random weight(4096, 512, 0.05f, 15);
  const Random bias(1, 4096, 1, 16);
  Buffer memory;
  Output out(200, 4096);
  backend_->linear(x.view(), packed(*backend_, weight, bias, memory), Activation::gelu, {},
                   out.span());
  // 840 million operations: 20 ms would be 40 GFLOP/s, or, by units for products alone, 10 times
  // that.
  EXPECT_GE(progress_.load(), backend_->dtype() == Dtype::float32 ? 10u : 4u);
}

}  // namespace
}  // namespace sheaf::kernels
