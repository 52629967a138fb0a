// Attention by matrix units where the parity of dtypes does not look: both kinds of states in both
// orders of threads, the edges of tiles, biases, long texts, rows that lie at no multiple of 16
// bytes, and tables of positions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/cuda/target.cuh"
#include "kernels/normal_values.h"
#include "kernels/ops.h"
#include "kernels/position_tables.h"

namespace sheaf::kernels::cuda {
namespace {

std::unique_ptr<Backend> emulated(Dtype dtype, emulation::Order order = {}, int capability = 89) {
  for (const DeviceBackend& backend :
       emulated_backends({.order = order, .compute_capability = capability}))
    if (backend.dtype == dtype) return std::move(*backend.make({}));
  return nullptr;
}

// One that is kept: a backend's workspace alone takes longer to fill than most cases to compute.
Backend& kept(Dtype dtype, emulation::Order order, int capability) {
  static std::map<std::tuple<Dtype, emulation::Order, int>, std::unique_ptr<Backend>> all;
  std::unique_ptr<Backend>& one = all[{dtype, order, capability}];
  if (one == nullptr) one = emulated(dtype, order, capability);
  return *one;
}

// Tables of positions; without rows there are none.
struct Positions {
  int single = 0;
  int count = 0;
  bool keys = true;
  bool queries = true;
};

struct Case {
  // bfloat16: of states in it, which are copied as they are; float16: of states in float32.
  Dtype dtype = Dtype::bfloat16;
  std::vector<std::uint32_t> bounds;
  AttentionShape shape;
  Positions positions = {};
  std::size_t between_rows = 0;  // elements
  emulation::Order order = emulation::Order::forward;
  int capability = 89;  // 90: long texts by products of warpgroups, in bfloat16
};

float rounded_to(Dtype dtype, float x) {
  return dtype == Dtype::bfloat16 ? to_float(from_float<Bfloat16>(x))
                                  : to_float(from_float<Half>(x));
}

// A case's tables, for texts as long as the longest of its own.
class Tables {
 public:
  explicit Tables(const Case& c) : positions_(c.positions), heads_(c.shape.heads) {
    for (std::size_t text = 0; text + 1 < c.bounds.size(); ++text)
      reach_ = std::max(reach_, static_cast<int>(c.bounds[text + 1] - c.bounds[text]) - 1);
    rows_ = rows_by_distance(reach_, positions_.single, positions_.count);
    columns_ = heads_ * c.shape.head_size;
    keys_ = normal_values(count() * columns_, 1, 18);
    queries_ = normal_values(count() * columns_, 1, 19);
    for (std::vector<float>* values : {&keys_, &queries_})
      for (float& value : *values) value = rounded_to(c.dtype, value);
  }
  // run(shape) with them as `backend` wants them.
  template <class Run>
  void with(const Backend& backend, AttentionShape shape, const Run& run) {
    if (positions_.count == 0) return run(shape);
    PackedTable keys(backend, {keys_.data(), count(), columns_}, heads_);
    PackedTable queries(backend, {queries_.data(), count(), columns_}, heads_);
    shape.relative = {.rows = rows_.data(),
                      .reach = static_cast<std::size_t>(reach_),
                      .count = count(),
                      .keys = positions_.keys ? keys.data() : nullptr,
                      .queries = positions_.queries ? queries.data() : nullptr};
    run(shape);
  }

 private:
  std::size_t count() const { return static_cast<std::size_t>(positions_.count); }

  Positions positions_;
  std::size_t heads_, columns_ = 0;
  int reach_ = 0;
  std::vector<std::int32_t> rows_;
  std::vector<float> keys_, queries_;
};

// The largest difference to the reference, both of the same numbers in the case's dtype.
double difference(const Case& c) {
  const std::size_t tokens = c.bounds.back(), columns = c.shape.heads * c.shape.head_size;
  const std::size_t stride = c.shape.columns() + c.between_rows;
  std::vector<float> qkv = normal_values(tokens * stride, 1, 5);
  // Values are around 2, so that a key too many shows.
  const std::size_t value_columns = c.shape.kv_heads * c.shape.head_size;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t i = c.shape.columns() - value_columns; i < c.shape.columns(); ++i)
      qkv[t * stride + i] += 2;
  std::vector<Bfloat16> rounded(qkv.size()), states(tokens * columns);
  for (std::size_t i = 0; i < qkv.size(); ++i) {
    rounded[i] = from_float<Bfloat16>(qkv[i]);
    qkv[i] = rounded_to(c.dtype, qkv[i]);
  }
  std::vector<float> got(tokens * columns), want(tokens * columns);
  const MatrixView x = {qkv.data(), tokens, c.shape.columns(), stride};
  Backend& backend = kept(c.dtype, c.order, c.capability);
  Tables tables(c);
  tables.with(backend, c.shape, [&](const AttentionShape& shape) {
    if (c.dtype != Dtype::bfloat16)
      return backend.attention(x, c.bounds, shape, {got.data(), tokens, columns});
    backend.attention(
        {reinterpret_cast<const std::byte*>(rounded.data()), c.dtype, tokens, c.shape.columns(),
         stride},
        c.bounds, shape,
        {reinterpret_cast<std::byte*>(states.data()), c.dtype, tokens, columns, columns});
    for (std::size_t i = 0; i < got.size(); ++i) got[i] = to_float(states[i]);
  });
  EXPECT_TRUE(backend.status().ok());
  static const auto reference = std::move(*make_backend("reference", {}));
  tables.with(*reference, c.shape, [&](const AttentionShape& shape) {
    reference->attention(x, c.bounds, shape, {want.data(), tokens, columns});
  });
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double distance = std::abs(double{got[i]} - want[i]);
    if (std::isnan(distance)) return distance;
    largest = std::max(largest, distance);
  }
  return largest;
}

// Weights of softmax are at most 1 and are rounded, to 11 bits or 8; results to 8 bits once more.
double near_enough(Dtype dtype) { return dtype == Dtype::bfloat16 ? 3e-2 : 2e-3; }

struct How {
  Dtype dtype;
  int capability;
};
constexpr How kHows[] = {{Dtype::bfloat16, 89}, {Dtype::bfloat16, 90}, {Dtype::float16, 89}};

void expect_near(Case c) {
  for (const auto& [dtype, capability] : kHows) {
    if (c.positions.count > 0 && capability == 90) continue;  // the same kernel
    for (const emulation::Order order : {emulation::Order::forward, emulation::Order::backward}) {
      c.dtype = dtype;
      c.order = order;
      c.capability = capability;
      EXPECT_LT(difference(c), near_enough(dtype))
          << name_of(dtype) << " on " << capability << ", heads of " << c.shape.head_size
          << ", longest " << c.bounds.back()
          << (order == emulation::Order::forward ? "" : ", backward");
    }
  }
}

AttentionShape heads_of(std::size_t size) { return {.heads = 2, .kv_heads = 2, .head_size = size}; }

constexpr std::size_t kSizes[] = {32, 64, 128, 256};

// Of one warp, two, and four.
TEST(AttentionByMatrixUnits, TakesBlocksOfFewWarpsForShortTexts) {
  for (const std::size_t size : kSizes) {
    expect_near({.bounds = {0, 1, 17, 17, 33, 48}, .shape = heads_of(size)});
    expect_near({.bounds = {0, 32, 40}, .shape = heads_of(size)});
    expect_near({.bounds = {0, 33, 97, 100}, .shape = heads_of(size)});
  }
}

TEST(AttentionByMatrixUnits, TakesTextsOfSeveralTiles) {
  for (const std::size_t size : kSizes)
    expect_near({.bounds = {0, 1, 65, 193, 322, 338}, .shape = heads_of(size)});
}

// Each number of keys in the last block of 16 and in the last tile, with one query tile and more.
TEST(AttentionByMatrixUnits, EndsAnywhere) {
  for (const std::size_t size : {64, 128})
    for (std::uint32_t tokens = 1; tokens <= 200; tokens += tokens < 66 ? 1 : 7) {
      const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = size};
      for (const auto& [dtype, capability] : kHows)
        EXPECT_LT(
            difference(
                {.dtype = dtype, .bounds = {0, tokens}, .shape = shape, .capability = capability}),
            near_enough(dtype))
            << name_of(dtype) << " on " << capability << ", " << size << ", " << tokens;
    }
}

// Tiles of which a warp sees all, some blocks or nothing, from both sides.
TEST(AttentionByMatrixUnits, SeesItsWindow) {
  const std::size_t windows[][2] = {{AttentionShape::kAll, 0},
                                    {0, AttentionShape::kAll},
                                    {0, 0},
                                    {5, 0},
                                    {16, 16},
                                    {63, 64},
                                    {100, 3},
                                    {200, 140}};
  for (const auto& [before, after] : windows) {
    AttentionShape shape{.heads = 2, .kv_heads = 1, .head_size = 32};
    shape.before = before;
    shape.after = after;
    SCOPED_TRACE(testing::Message() << before << " before, " << after << " after");
    expect_near({.bounds = {0, 20, 293, 301}, .shape = shape});
    shape.head_size = 128;
    expect_near({.bounds = {0, 30, 230}, .shape = shape});
  }
}

TEST(AttentionByMatrixUnits, AddsBiases) {
  constexpr std::size_t kReach = 150;
  const std::vector<float> bias = normal_values(2 * (2 * kReach + 1), 2, 7);
  for (const std::size_t size : kSizes) {
    AttentionShape shape{
        .heads = 2, .kv_heads = 1, .head_size = size, .bias = {bias.data(), kReach}};
    expect_near({.bounds = {0, 150, 160}, .shape = shape});
    shape.after = 0;
    expect_near({.bounds = {0, 150, 160}, .shape = shape});
  }
}

TEST(AttentionByMatrixUnits, StreamsLongTexts) {
  AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = 32};
  expect_near({.bounds = {0, 1100, 1103}, .shape = shape});
  shape.before = 127;  // keys of two or three tiles
  shape.after = 0;
  expect_near({.bounds = {0, 8191, 8193}, .shape = shape});
}

// SHEAF_ATTENTION_CASES=N: so many of them, instead of a few.
TEST(AttentionByMatrixUnits, AgreesOverRandomTexts) {
  const char* const wanted = std::getenv("SHEAF_ATTENTION_CASES");
  std::mt19937 random(1);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int i = 0; i < (wanted == nullptr ? 10 : std::atoi(wanted)); ++i) {
    const std::size_t kv_heads = 1 + below(2);
    AttentionShape shape{
        .heads = kv_heads * (1 + below(2)), .kv_heads = kv_heads, .head_size = kSizes[below(4)]};
    if (below(2) == 0) shape.before = below(3) == 0 ? below(20) : below(300);
    if (below(2) == 0) shape.after = below(3) == 0 ? 0 : below(300);
    std::vector<std::uint32_t> bounds = {0};
    for (std::uint32_t texts = 1 + below(4); texts > 0; --texts)
      bounds.push_back(bounds.back() + below(texts == 1 ? 400 : 150));
    bounds.back() += bounds.back() == 0 ? 1 : 0;
    SCOPED_TRACE(testing::Message() << "case " << i << ": " << shape.heads << "/" << kv_heads
                                    << ", " << shape.before << " before, " << shape.after
                                    << " after, bounds " << testing::PrintToString(bounds));
    const emulation::Order order =
        below(2) == 0 ? emulation::Order::forward : emulation::Order::backward;
    for (const auto& [dtype, capability] : kHows)
      EXPECT_LT(difference({.dtype = dtype,
                            .bounds = bounds,
                            .shape = shape,
                            .order = order,
                            .capability = capability}),
                near_enough(dtype))
          << name_of(dtype) << " on " << capability << ", heads of " << shape.head_size;
  }
}

TEST(AttentionByMatrixUnits, TakesRowsThatLieAnywhere) {
  for (const std::size_t size : kSizes) {
    AttentionShape shape = heads_of(size);
    expect_near({.bounds = {0, 70, 85}, .shape = shape, .between_rows = 3});
    shape.before = 5;
    shape.after = 0;
    expect_near({.bounds = {0, 70}, .shape = shape, .between_rows = 1});
    expect_near({.bounds = {0, 70}, .shape = shape, .between_rows = 8});
  }
}

constexpr std::size_t kSizesWithTables[] = {32, 64, 128};

TEST(AttentionByTables, TakesTextsOfAnyLength) {
  for (const std::size_t size : kSizesWithTables)
    for (const std::vector<std::uint32_t>& bounds :
         {std::vector<std::uint32_t>{0, 1, 17, 17, 33, 48}, {0, 32, 40}, {0, 33, 97, 230}})
      expect_near({.bounds = bounds, .shape = heads_of(size), .positions = {128, 512}});
  const AttentionShape one{.heads = 1, .kv_heads = 1, .head_size = 64};
  expect_near({.bounds = {0, 600}, .shape = one, .positions = {128, 512}});
}

TEST(AttentionByTables, EndsAnywhere) {
  for (const std::size_t size : {64, 128})
    for (std::uint32_t tokens = 1; tokens <= 200; tokens += tokens < 66 ? 3 : 11) {
      const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = size};
      for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16})
        EXPECT_LT(
            difference(
                {.dtype = dtype, .bounds = {0, tokens}, .shape = shape, .positions = {30, 101}}),
            near_enough(dtype))
            << name_of(dtype) << ", " << size << ", " << tokens;
    }
}

// Runs that begin and end anywhere in a block of 16 rows, and rows that all far distances share.
TEST(AttentionByTables, TakesTablesOfAnyCount) {
  for (const std::size_t size : kSizesWithTables) {
    const AttentionShape one{.heads = 1, .kv_heads = 1, .head_size = size};
    for (const int count : {1, 2, 17, 100})
      expect_near({.bounds = {0, 80, 90}, .shape = one, .positions = {600, count}});
    for (int count = 400; count < 432; count += 10)
      expect_near({.bounds = {0, 190}, .shape = one, .positions = {600, count}});
    expect_near({.bounds = {0, 80}, .shape = one, .positions = {0, 64}});
  }
}

TEST(AttentionByTables, TakesOneOfTheTwo) {
  for (const std::size_t size : kSizesWithTables) {
    expect_near(
        {.bounds = {0, 140, 150}, .shape = heads_of(size), .positions = {40, 90, true, false}});
    expect_near(
        {.bounds = {0, 140, 150}, .shape = heads_of(size), .positions = {40, 90, false, true}});
  }
}

TEST(AttentionByTables, TakesAllElseThatAShapeCanAskFor) {
  constexpr std::size_t kReach = 150;
  const std::vector<float> bias = normal_values(4 * (2 * kReach + 1), 2, 7);
  for (const std::size_t size : kSizesWithTables) {
    AttentionShape shape{.heads = 4, .kv_heads = 2, .head_size = size};
    expect_near(
        {.bounds = {0, 150, 160}, .shape = shape, .positions = {50, 120}, .between_rows = 3});
    shape.before = 70;
    shape.after = 5;
    expect_near({.bounds = {0, 150, 160}, .shape = shape, .positions = {50, 120}});
    shape.bias = {bias.data(), kReach};
    expect_near({.bounds = {0, 150, 160}, .shape = shape, .positions = {50, 120}});
  }
}

TEST(AttentionByTables, AgreesOverRandomTexts) {
  const char* const wanted = std::getenv("SHEAF_ATTENTION_CASES");
  std::mt19937 random(2);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int i = 0; i < (wanted == nullptr ? 10 : std::atoi(wanted)); ++i) {
    std::vector<std::uint32_t> bounds = {0};
    for (std::uint32_t texts = 1 + below(4); texts > 0; --texts)
      bounds.push_back(bounds.back() + below(texts == 1 ? 600 : 150));
    bounds.back() += bounds.back() == 0 ? 1 : 0;
    const auto single = static_cast<int>(below(300));
    const auto count = static_cast<int>(1 + below(below(2) == 0 ? 40 : 1200));
    const std::uint32_t present = below(4);
    Case c = {.bounds = bounds,
              .shape = heads_of(kSizesWithTables[below(3)]),
              .positions = {single, count, present != 1, present != 2}};
    c.order = below(2) == 0 ? emulation::Order::forward : emulation::Order::backward;
    SCOPED_TRACE(testing::Message()
                 << "case " << i << ": heads of " << c.shape.head_size << ", " << single
                 << " single of " << count << " rows, bounds " << testing::PrintToString(bounds));
    for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16}) {
      c.dtype = dtype;
      EXPECT_LT(difference(c), near_enough(dtype)) << name_of(dtype);
    }
  }
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

TEST(Attention, RefusesHeadsForWhichTheCardHasTooLittleSharedMemory) {
  const auto backends = emulated_backends({.shared_bytes_max = std::size_t{99} << 10});
  const auto backend = std::move(*backends.front().make({}));
  const std::vector<std::uint32_t> bounds = {0, 1};
  for (const std::size_t size : {310u, 311u}) {
    const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_size = size};
    const std::vector<float> qkv(shape.columns());
    std::vector<float> out(size);
    EXPECT_TRUE(backend->status().ok());
    backend->attention({qkv.data(), 1, shape.columns()}, bounds, shape, {out.data(), 1, size});
  }
  ASSERT_FALSE(backend->status().ok());
  EXPECT_EQ(backend->status().error().message,
            "attention over heads of 311 values needs 101696 bytes of shared memory, and this card "
            "has 101376 for a block");
}

}  // namespace
}  // namespace sheaf::kernels::cuda
