// What the emulation promises to kernels: barriers, exchange in warps, shared memory, copies to it,
// fragments of matrices, numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/target.cuh"

namespace sheaf::kernels::cuda {
namespace {

using emulation::Order;
using emulation::run_block;

TEST(Block, ThreadsMeetAtBarriersInBothOrders) {
  for (const Order order : {Order::forward, Order::backward}) {
    std::vector<int> values(96, 0), seen(96, 0);
    run_block({.threads = 96, .order = order}, [&] {
      for (int round = 1; round <= 3; ++round) {
        values[threadIdx.x] = round;
        __syncthreads();
        for (const int value : values) seen[threadIdx.x] += value == round;
        __syncthreads();
      }
    });
    EXPECT_EQ(seen, std::vector<int>(96, 3 * 96));
  }
}

TEST(Block, WarpsExchangeByThemselves) {
  std::vector<float> sums(64);
  run_block({.threads = 64}, [&] {
    auto sum = static_cast<float>(threadIdx.x);
    if (threadIdx.x < 32)  // the other warp takes no part
      for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
    sums[threadIdx.x] = sum;
  });
  EXPECT_EQ(sums[0], 496);
  EXPECT_EQ(sums[31], 496);
  EXPECT_EQ(sums[40], 40);
}

TEST(Block, SharedMemoryIsNoNumberUntilItIsWritten) {
  run_block({.threads = 1, .shared_bytes = 8}, [] {
    EXPECT_TRUE(std::isnan(shared_memory<float>()[1]));
    shared_memory<float>()[1] = 1;
  });
  run_block({.threads = 1, .shared_bytes = 8},
            [] { EXPECT_TRUE(std::isnan(shared_memory<float>()[1])); });
}

TEST(BlockDeathTest, RefusesWhatACardWouldHangAt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run_block({.threads = 64},
                         [] {
                           if (threadIdx.x < 32) __syncthreads();
                           if (threadIdx.x == 32) __syncwarp();
                           if (threadIdx.x > 32) __syncthreads();
                         }),
               "wait for each other|returned");
  EXPECT_DEATH(run_block({.threads = 2},
                         [] {
                           if (threadIdx.x == 0) __syncthreads();
                         }),
               "returned");
}

// What the PTX manual says of ldmatrix: element [i, j] of matrix m is 100 m + 10 i + j here.
TEST(Matrices, AreLoadedAsFragments) {
  for (const Matrices how : {Matrices::as_they_lie, Matrices::transposed}) {
    std::uint32_t got[32][4];
    run_block({.threads = 32, .shared_bytes = 4 * 8 * 8 * 2}, [&] {
      auto* const rows = shared_memory<std::uint16_t>();
      const unsigned lane = threadIdx.x;
      for (unsigned j = 0; j < 8; ++j)
        rows[lane * 8 + j] = static_cast<std::uint16_t>(lane / 8 * 100 + lane % 8 * 10 + j);
      __syncthreads();
      if (how == Matrices::transposed)
        load_matrices<Matrices::transposed>(rows + lane * 8, got[lane]);
      else
        load_matrices<Matrices::as_they_lie>(rows + lane * 8, got[lane]);
    });
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned m = 0; m < 4; ++m) {
        const unsigned row = lane / 4, column = lane % 4 * 2;
        const unsigned first = how == Matrices::transposed ? 10 * column + row : 10 * row + column;
        const unsigned second = how == Matrices::transposed ? first + 10 : first + 1;
        EXPECT_EQ(got[lane][m], (100 * m + first) | (100 * m + second) << 16) << lane << ", " << m;
      }
  }
}

// Where the PTX manual has the elements of mma.m16n8k32's fragments of bytes: of register r, byte
// i.
struct BytesOfMma {
  static unsigned row_of_a(unsigned lane, unsigned r) { return lane / 4 + r % 2 * 8; }
  static unsigned column_of_a(unsigned lane, unsigned r, unsigned i) {
    return lane % 4 * 4 + i + r / 2 * 16;
  }
  static unsigned row_of_b(unsigned lane, unsigned r, unsigned i) {
    return lane % 4 * 4 + i + r * 16;
  }
  static unsigned column_of_b(unsigned lane) { return lane / 4; }
};

// Numbers of all sizes, with both signs and the largest of them.
std::int8_t byte_of(unsigned row, unsigned column) {
  return static_cast<std::int8_t>(row * 37 + column * 101 + row * column - 128);
}

TEST(Matrices, OfBytesAreMultipliedExactly) {
  using Layout = BytesOfMma;
  std::int32_t got[32][4];
  run_block({.threads = 32}, [&] {
    const unsigned lane = threadIdx.x;
    std::uint32_t a[4] = {}, b[2] = {};
    for (unsigned r = 0; r < 4; ++r)
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned column = Layout::column_of_a(lane, r, i);
        const auto x = static_cast<std::uint8_t>(byte_of(Layout::row_of_a(lane, r), column));
        a[r] |= std::uint32_t{x} << 8 * i;
      }
    for (unsigned r = 0; r < 2; ++r)
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = Layout::row_of_b(lane, r, i);
        const auto x = static_cast<std::uint8_t>(byte_of(50 + row, Layout::column_of_b(lane)));
        b[r] |= std::uint32_t{x} << 8 * i;
      }
    for (unsigned i = 0; i < 4; ++i) got[lane][i] = 1000 * static_cast<std::int32_t>(i);
    multiply_add_int8(got[lane], a, b);
  });
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      std::int32_t want = 0;
      for (unsigned k = 0; k < 32; ++k) want += byte_of(row, k) * byte_of(50 + k, column);
      EXPECT_EQ(got[lane][i], want + 1000 * static_cast<std::int32_t>(i)) << lane;
    }
}

TEST(MatricesDeathTest, AreInSharedMemoryAtMultiplesOf16) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto load = [](std::size_t offset) {
    run_block({.threads = 32, .shared_bytes = 64}, [=] {
      std::uint32_t got[4];
      load_matrices<Matrices::as_they_lie>(shared_memory<std::byte>() + offset, got);
    });
  };
  load(48);
  EXPECT_DEATH(load(8), "no multiple of 16");
  EXPECT_DEATH(load(64), "not in shared memory");
}

struct alignas(16) Four {
  float values[4];
};

TEST(Copies, AreNoNumberBeforeTheyAreAwaited) {
  const Four from = {1, 2, 3, 4};
  run_block({.threads = 1, .shared_bytes = 48}, [&] {
    auto* const to = shared_memory<float>();
    for (int i = 0; i < 12; ++i) to[i] = 7;
    copy_later(&from, 16, to);
    commit_copies();
    copy_later(&from, 0, to + 4);
    commit_copies();
    copy_later(&from, 16, to + 8);
    EXPECT_TRUE(std::isnan(to[0])) << "what was there is gone at once";
    await_copies<2>();
    EXPECT_TRUE(std::isnan(to[0]));
    await_copies<1>();
    EXPECT_EQ(to[3], 4);
    EXPECT_TRUE(std::isnan(to[4]));
    await_copies<0>();
    EXPECT_EQ(to[4], 0) << "none of 16 bytes are copied, so all are 0";
    EXPECT_TRUE(std::isnan(to[8])) << "of no group that could be awaited";
    commit_copies();
    await_copies<0>();
    EXPECT_EQ(to[8], 1);
  });
}

TEST(Copies, AreThereForOthersBehindABarrier) {
  const Four from = {1, 2, 3, 4};
  for (const Order order : {Order::forward, Order::backward}) {
    int early = 0, late = 0;
    run_block({.threads = 2, .shared_bytes = 16, .order = order}, [&] {
      if (threadIdx.x == 0) {
        copy_later(&from, 16, shared_memory<float>());
        commit_copies();
      }
      await_copies<0>();  // of the thread's own: the other may come here first
      if (threadIdx.x == 1) early += shared_memory<float>()[3] == 4;
      __syncthreads();
      late += shared_memory<float>()[3] == 4;
    });
    EXPECT_EQ(early, order == Order::forward ? 1 : 0);
    EXPECT_EQ(late, 2);
  }
}

TEST(CopiesDeathTest, AreBetweenMultiplesOf16) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Four from[2] = {};
  const auto copy = [&](std::size_t offset, std::size_t to) {
    run_block({.threads = 1, .shared_bytes = 32},
              [=, at = reinterpret_cast<const std::byte*>(from)] {
                copy_later(at + offset, 16, shared_memory<std::byte>() + to);
              });
  };
  copy(16, 16);
  EXPECT_DEATH(copy(8, 0), "from no multiple of 16");
  EXPECT_DEATH(copy(0, 4), "no multiple of 16");
  EXPECT_DEATH(copy(0, 32), "not in shared memory");
}

TEST(Half, IsReadBackAndRoundedToTheNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const float value = to_float(half);
    if (std::isnan(value)) continue;
    ASSERT_EQ(from_float<Half>(value).bits, bits);
    if ((bits & 0x7fff) >= 0x7bff) continue;
    const float next = to_float(Half{static_cast<std::uint16_t>(bits + 1)});
    const float middle = value + (next - value) / 2;
    ASSERT_EQ(from_float<Half>(middle).bits, bits + (bits & 1));
    ASSERT_EQ(from_float<Half>(std::nextafter(middle, value)).bits, bits);
    ASSERT_EQ(from_float<Half>(std::nextafter(middle, next)).bits, bits + 1);
  }
  EXPECT_EQ(from_float<Half>(65519.0f).bits, 0x7bff);
  EXPECT_TRUE(std::isinf(to_float(from_float<Half>(65520.0f))));
  EXPECT_TRUE(std::isnan(to_float(from_float<Half>(NAN))));
}

// Over all codes: each but the two that are no number comes back, the middle of two neighbours goes
// to the even one, and what lies beyond 448 to it.
TEST(Fp8, IsReadBackAndRoundedToTheNearestEven) {
  for (std::uint32_t code = 0; code < 0x100; ++code) {
    const Fp8 fp8{static_cast<std::uint8_t>(code)};
    const float value = to_float(fp8);
    ASSERT_EQ(std::isnan(value), (code & 0x7f) == 0x7f);
    ASSERT_EQ(std::signbit(value), code >= 0x80) << code;
    if (std::isnan(value)) continue;
    ASSERT_EQ(from_float<Fp8>(value).bits, code);
    if ((code & 0x7f) == 0x7e) continue;
    const float next = to_float(Fp8{static_cast<std::uint8_t>(code + 1)});
    const float middle = value + (next - value) / 2;
    ASSERT_EQ(from_float<Fp8>(middle).bits, code + (code & 1));
    ASSERT_EQ(from_float<Fp8>(std::nextafter(middle, value)).bits, code);
    ASSERT_EQ(from_float<Fp8>(std::nextafter(middle, next)).bits, code + 1);
  }
  EXPECT_EQ(to_float(Fp8{0x01}), 0x1p-9f);
  EXPECT_EQ(to_float(Fp8{0x08}), 0x1p-6f);
  EXPECT_EQ(to_float(Fp8{0x38}), 1.0f);
  EXPECT_EQ(to_float(Fp8{0x7e}), 448.0f);
  for (const float large : {449.0f, 464.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(from_float<Fp8>(large).bits, 0x7e);
    EXPECT_EQ(from_float<Fp8>(-large).bits, 0xfe);
  }
  EXPECT_TRUE(std::isnan(to_float(from_float<Fp8>(NAN))));
}

TEST(Emulated, KeepsToItsShareOfTheMemory) {
  const std::string share = std::to_string(kWorkspaceBytes + 1000);
  ::setenv("SHEAF_DEVICE_MEMORY_BYTES", share.c_str(), 1);
  const auto backends = emulated_backends();
  const auto backend = std::move(*backends.front().make({}));
  ::unsetenv("SHEAF_DEVICE_MEMORY_BYTES");
  tensor::Memory& memory = backend->memory();
  void* first = memory.allocate(600);
  ASSERT_NE(first, nullptr);
  memory.release(first);
  first = memory.allocate(600);
  EXPECT_TRUE(backend->status().ok()) << "what was given back counts no more";
  EXPECT_EQ(memory.allocate(600), nullptr);
  EXPECT_EQ(backend->status().error().code, ErrorCode::too_large);
  EXPECT_EQ(backend->status().error().message, "this replica's share of the card, " + share +
                                                   " bytes, has no room for 600 more beside " +
                                                   std::to_string(kWorkspaceBytes + 600));
  memory.release(first);
}

TEST(Emulated, RefusesOperandsOutsideOfItsMemory) {
  const auto backends = emulated_backends({.own_memory_only = true});
  const auto backend = std::move(*backends.front().make({}));
  std::vector<float> x(8, 1), scale(8, 1);
  const MatrixSpan on_host = {x.data(), 1, 8};
  backend->normalize(on_host, {.scale = scale.data()}, {}, on_host);
  ASSERT_FALSE(backend->status().ok());
  EXPECT_NE(backend->status().error().message.find("memory"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
