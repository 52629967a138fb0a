// Products in fp8 where parity does not look: rows of any size, by themselves; which products are
// not in it; what weights take; cards that have none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/emulated.h"
#include "kernels/dry_run.h"
#include "kernels/normal_values.h"
#include "kernels/ops.h"
#include "kernels/staged.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

using Values = std::vector<float>;

std::unique_ptr<Backend> backend_named(const std::string& name, int capability = 90) {
  for (const DeviceBackend& backend :
       emulated_backends({.own_memory_only = true, .compute_capability = capability}))
    if (backend.name == "emulated cuda " + name) return std::move(*backend.make({}));
  return nullptr;
}

constexpr std::size_t kInputs = 64, kOutputs = 48;

// x W^T + b on an emulated card, whose states are rounded to bfloat16.
struct CardProduct {
  Values weight = normal_values(kOutputs * kInputs, 0.2f, 2);
  Values bias = Values(kOutputs, 0.5f);
  Role role = Role::feed_forward;

  Values operator()(const Values& x, std::unique_ptr<Backend> card) const {
    const std::size_t rows = x.size() / kInputs;
    Staged backend(std::move(card));
    tensor::Buffer packed;
    const std::size_t floats = backend.packed_floats(kInputs, kOutputs, role);
    std::fill_n(packed.reserve(floats), floats, 0.0f);
    backend.pack_linear({weight.data(), kOutputs, kInputs}, nullptr, packed.reserve(0), role);
    Values out(rows * kOutputs);
    backend.linear({x.data(), rows, kInputs},
                   {.weight = packed.reserve(0),
                    .bias = bias.data(),
                    .inputs = kInputs,
                    .outputs = kOutputs,
                    .role = role},
                   Activation::none, {}, {out.data(), rows, kOutputs});
    EXPECT_TRUE(backend.status().ok());
    return out;
  }
};

class Fp8OnCards : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Backend> card(const std::string& name = "fp8") const {
    return backend_named(name, GetParam());
  }
};
// One whose library scales, and two whose library does not.
INSTANTIATE_TEST_SUITE_P(, Fp8OnCards, ::testing::Values(90, 89, 100));

// Every number of E4M3 is off by a sixteenth of itself at most, or by 2^-10 / 448 of the largest of
// its row; states by 2^-9 of themselves, and sums that are not scaled yet too.
TEST_P(Fp8OnCards, AreNearExactOnesWhateverTheSizeOfARow) {
  const CardProduct product;
  const Values ordinary = normal_values(kInputs, 1, 3);
  for (const float size : {1e-20f, 1e-3f, 1.0f, 3e4f, 1e25f}) {
    SCOPED_TRACE(size);
    Values x = ordinary;
    for (float& value : x) value *= size;
    const Values got = product(x, card());
    for (std::size_t n = 0; n < kOutputs; ++n) {
      double want = product.bias[n], most = std::abs(want);
      for (std::size_t i = 0; i < kInputs; ++i) {
        want += double{x[i]} * product.weight[n * kInputs + i];
        most += std::abs(double{x[i]} * product.weight[n * kInputs + i]);
      }
      ASSERT_NEAR(got[n], want, 0.14 * most);
    }
  }
}

TEST_P(Fp8OnCards, OneHugeNumberLeavesTheOthersOfItsRowAndNoOther) {
  const CardProduct product;
  Values x = normal_values(3 * kInputs, 1, 3);
  const Values before = product(x, card());
  x[kInputs + 5] = 1e6f;  // the others of its row are below 2^-10 / 448 of it: nothing
  const Values got = product(x, card());
  for (std::size_t n = 0; n < kOutputs; ++n) {
    EXPECT_EQ(got[n], before[n]);
    EXPECT_EQ(got[2 * kOutputs + n], before[2 * kOutputs + n]);
    const double want = 1e6 * product.weight[n * kInputs + 5];
    EXPECT_NEAR(got[kOutputs + n], want, 0.07 * std::abs(want) + 2);
  }
}

TEST_P(Fp8OnCards, ZerosGiveTheBias) {
  const CardProduct product;
  for (const float zero : {0.0f, -0.0f, 1e-38f})
    EXPECT_EQ(product(Values(2 * kInputs, zero), card()), Values(2 * kOutputs, 0.5f));
}

// As bfloat16 gives none either: infinities of E4M3, which has none, would be 448.
TEST_P(Fp8OnCards, WhatIsNoNumberStaysNone) {
  const CardProduct product;
  for (const float none : {INFINITY, -INFINITY, std::nanf("")}) {
    Values x = normal_values(kInputs, 1, 3);
    x[kInputs - 1] = none;
    for (const char* name : {"fp8", "bfloat16"})
      for (const float y : product(x, card(name))) EXPECT_FALSE(std::isfinite(y)) << name;
  }
}

TEST_P(Fp8OnCards, OtherProductsAreInBfloat16ToTheBit) {
  const Values x = normal_values(5 * kInputs, 1, 3);
  for (const Role role : {Role::other, Role::attention, Role::feed_forward}) {
    CardProduct product;
    product.role = role;
    const Values exact = product(x, card("bfloat16"));
    EXPECT_EQ(product(x, card()) == exact, role != Role::feed_forward);
    EXPECT_EQ(product(x, card("fp8 with attention")) == exact, role == Role::other);
  }
}

TEST(Fp8, WeightsTakeHalfOfWhatTheyTakeInBfloat16AndAScaleAnOutput) {
  const auto fp8 = backend_named("fp8"), halves = backend_named("bfloat16");
  const std::size_t whole = halves->packed_floats(1024, 4096, Role::feed_forward);
  EXPECT_EQ(fp8->packed_floats(1024, 4096, Role::feed_forward), whole / 2 + 4096);
  EXPECT_EQ(fp8->packed_floats(1024, 4096, Role::attention), whole);
  EXPECT_EQ(fp8->packed_floats(1024, 4104, Role::feed_forward),
            halves->packed_floats(1024, 4104, Role::feed_forward));
  EXPECT_EQ(fp8->dtype(), Dtype::fp8);
  EXPECT_EQ(fp8->state_dtype(), Dtype::bfloat16);
}

TEST(Fp8, IsRefusedByCardsThatHaveNone) {
  for (const int capability : {80, 86}) {
    const auto backend = backend_named("fp8", capability);
    ASSERT_FALSE(backend->status().ok());
    EXPECT_EQ(backend->status().error().message,
              "fp8 needs a card of compute capability 8.9 or later, and this one has 8." +
                  std::to_string(capability % 10));
    EXPECT_TRUE(backend_named("bfloat16", capability)->status().ok());
  }
}

}  // namespace
}  // namespace sheaf::kernels::cuda
