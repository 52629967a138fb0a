// Products of warpgroups as they are played: against plain arithmetic by operands' places, and what
// is read or changed too early.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/warpgroup_mma.cuh"

namespace sheaf::kernels::cuda {
namespace {

using emulation::run_block;

// Small whole numbers, all products of which are exact.
float element(unsigned which, unsigned row, unsigned column) {
  return static_cast<float>((which * 31 + row * 7 + column * 13 + row * column) % 15) - 7;
}

template <class Tile>
void fill(std::byte* tile, unsigned which, unsigned rows, unsigned columns) {
  for (unsigned i = threadIdx.x; i < rows * columns; i += blockDim.x) {
    const auto x = from_float<Bfloat16>(element(which, i / columns, i % columns));
    std::memcpy(tile + Tile::place(i / columns, i % columns), &x, sizeof x);
  }
  __syncthreads();
}

// A warpgroup's d [64, columns] into `all`.
void keep(const float (*d)[4], unsigned columns, std::vector<float>& all) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned row = threadIdx.x / 32 * 16 + lane / 4;
  for (unsigned n = 0; n < columns / 8; ++n)
    for (unsigned i = 0; i < 4; ++i)
      all[(row + i / 2 * 8) * columns + n * 8 + lane % 4 * 2 + i % 2] = d[n][i];
}

// q k^T, of the second 64 rows of q.
template <unsigned kHead, unsigned kKeys>
void expect_scores() {
  using Queries = SwizzledTile<128, kHead>;
  using Keys = SwizzledTile<kKeys, kHead>;
  std::vector<float> got(std::size_t{64} * kKeys);
  run_block({.threads = 128, .shared_bytes = Queries::kBytes + Keys::kBytes}, [&] {
    auto* const q = shared_memory<std::byte>();
    fill<Queries>(q, 1, 128, kHead);
    fill<Keys>(q + Queries::kBytes, 2, kKeys, kHead);
    float d[kKeys / 8][4];
    begin_products();
    for (unsigned k = 0; k < kHead / 16; ++k)
      multiply_by_rows<kKeys>(d, Queries::by_rows(shared_address(q), 64, k),
                              Keys::by_rows(shared_address(q + Queries::kBytes), 0, k), k > 0);
    commit_products();
    await_products<0>();
    keep(d, kKeys, got);
  });
  for (unsigned i = 0; i < got.size(); ++i) {
    float want = 0;
    for (unsigned c = 0; c < kHead; ++c)
      want += element(1, 64 + i / kKeys, c) * element(2, i % kKeys, c);
    ASSERT_EQ(got[i], want) << kHead << ", " << kKeys << ": row " << i / kKeys << ", column "
                            << i % kKeys;
  }
}

TEST(Warpgroup, MultipliesByRows) {
  expect_scores<32, 64>();
  expect_scores<64, 64>();
  expect_scores<128, 128>();
  expect_scores<64, 256>();
  expect_scores<256, 64>();
}

// w v, of columns [kFirst, kFirst + kValues) of v.
template <unsigned kHead, unsigned kValues, unsigned kFirst>
void expect_sums() {
  constexpr unsigned kKeys = 64;
  using Values = SwizzledTile<kKeys, kHead>;
  std::vector<float> got(std::size_t{64} * kValues);
  run_block({.threads = 128, .shared_bytes = Values::kBytes}, [&] {
    auto* const v = shared_memory<std::byte>();
    fill<Values>(v, 3, kKeys, kHead);
    float d[kValues / 8][4];
    for (auto& eight : d)
      for (float& x : eight) x = 1;
    const unsigned row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    std::uint32_t w[kKeys / 16][4];
    for (unsigned k = 0; k < kKeys / 16; ++k)
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned r = row + i % 2 * 8, c = k * 16 + i / 2 * 8 + threadIdx.x % 4 * 2;
        w[k][i] = pack_pair<Bfloat16>(element(4, r, c), element(4, r, c + 1));
      }
    begin_products();
    for (unsigned k = 0; k < kKeys / 16; ++k)
      multiply_add_registers<kValues>(d, w[k], Values::by_columns(shared_address(v), k, kFirst));
    commit_products();
    await_products<0>();
    keep(d, kValues, got);
  });
  for (unsigned i = 0; i < got.size(); ++i) {
    float want = 1;
    for (unsigned key = 0; key < kKeys; ++key)
      want += element(4, i / kValues, key) * element(3, key, kFirst + i % kValues);
    ASSERT_EQ(got[i], want) << kHead << ", " << kValues << ": row " << i / kValues << ", column "
                            << i % kValues;
  }
}

TEST(Warpgroup, AddsWhatRegistersMultiply) {
  expect_sums<32, 32, 0>();
  expect_sums<64, 64, 0>();
  expect_sums<128, 128, 0>();
  expect_sums<256, 128, 128>();
}

// A warpgroup's product, with `early` behind its beginning and `late` behind the wait for it.
template <class Early, class Late>
void run_product(const Early& early, const Late& late) {
  using Tile = SwizzledTile<64, 64>;
  run_block({.threads = 128, .shared_bytes = Tile::kBytes}, [&] {
    auto* const tile = shared_memory<std::byte>();
    fill<Tile>(tile, 1, 64, 64);
    float d[8][4];
    begin_products();
    const SharedOperand rows = Tile::by_rows(shared_address(tile), 0, 0);
    multiply_by_rows<64>(d, rows, rows, false);
    commit_products();
    early(tile, d);
    await_products<0>();
    late(d);
  });
}

TEST(Warpgroup, SumsAreNoNumberAndOperandsAreReadUntilAProductIsAwaited) {
  unsigned early = 0, late = 0, spoiled = 0;
  run_product([&](std::byte*, float(*d)[4]) { early += std::isnan(d[7][3]); },
              [&](float(*d)[4]) { late += std::isnan(d[7][3]); });
  EXPECT_EQ(early, 128);
  EXPECT_EQ(late, 0);
  run_product([](std::byte* tile, float(*)[4]) { std::memset(tile, 0xff, 1024); },
              [&](float(*d)[4]) { spoiled += std::isnan(d[0][0]); });
  EXPECT_EQ(spoiled, 128);
}

TEST(WarpgroupDeathTest, RefusesWhatACardWouldNotPromise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  using Tile = SwizzledTile<64, 64>;
  const auto run = [](const auto& body, unsigned threads = 128) {
    run_block({.threads = threads, .shared_bytes = Tile::kBytes}, [&] {
      float d[8][4];
      body(d, Tile::by_rows(shared_address(shared_memory<std::byte>()), 0, 0));
    });
  };
  EXPECT_DEATH(
      run([](float(*d)[4], SharedOperand rows) { multiply_by_rows<64>(d, rows, rows, false); }),
      "without begin_products");
  EXPECT_DEATH(run([](float(*)[4], SharedOperand) { begin_products(); }, 96), "not whole");
  EXPECT_DEATH(run([](float(*)[4], SharedOperand) {
                 if (threadIdx.x < 32) begin_products();
               }),
               "a thread returned for which others wait|wait for each other");
  alignas(16) static const std::byte zeros[16] = {};
  const auto copied = [&](bool shown) {
    run([=](float(*d)[4], SharedOperand rows) {
      auto* const tile = shared_memory<std::byte>();
      for (unsigned i = threadIdx.x; i < Tile::kBytes / 16; i += blockDim.x)
        copy_later(zeros, 16, tile + std::size_t{16} * i);
      commit_copies();
      await_copies<0>();
      if (shown) show_to_products();
      __syncthreads();
      begin_products();
      multiply_by_rows<64>(d, rows, rows, false);
      commit_products();
      await_products<0>();
    });
  };
  copied(true);
  EXPECT_DEATH(copied(false), "not shown to products");
}

}  // namespace
}  // namespace sheaf::kernels::cuda
