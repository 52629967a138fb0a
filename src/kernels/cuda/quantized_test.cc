// Products in fp8 and int8 where parity does not look: rows of any size, and any number of them, by
// themselves; which products are not in it; what weights take; cards that have none.
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
    backend.pack_linear({weight.data(), kOutputs, kInputs}, {}, packed.reserve(0), role);
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

struct Precision {
  std::string name;
  int capability;
  // How far a number is off: by a part of itself, and by one of the largest beside it.
  double of_itself, of_largest;
  bool attention;  // whether that is in it too
};

class Quantized : public ::testing::TestWithParam<Precision> {
 protected:
  std::unique_ptr<Backend> card(std::string name = "") const {
    return backend_named(name.empty() ? GetParam().name : name, GetParam().capability);
  }
};
// E4M3 by a library that scales and by two that do not; int8 by a kernel of sheaf's own.
INSTANTIATE_TEST_SUITE_P(, Quantized,
                         ::testing::Values(Precision{"fp8", 90, 1 / 16.0, 0x1p-10 / 448, false},
                                           Precision{"fp8", 89, 1 / 16.0, 0x1p-10 / 448, false},
                                           Precision{"fp8", 100, 1 / 16.0, 0x1p-10 / 448, false},
                                           Precision{"fp8 with attention", 90, 1 / 16.0,
                                                     0x1p-10 / 448, true},
                                           Precision{"int8", 80, 0, 0.5 / 127, true}),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::ranges::replace(name, ' ', '_');
                           return name + "_" + std::to_string(info.param.capability);
                         });

// Both operands are rounded; states by 2^-9 of themselves, and sums that are not scaled yet too.
TEST_P(Quantized, AreNearExactOnesWhateverTheSizeOfARow) {
  const CardProduct product;
  const Values ordinary = normal_values(kInputs, 1, 3);
  for (const float size : {1e-20f, 1e-3f, 1.0f, 3e4f, 1e25f}) {
    SCOPED_TRACE(size);
    Values x = ordinary;
    for (float& value : x) value *= size;
    const auto largest = [](std::span<const float> values) {
      double found = 0;
      for (const float value : values) found = std::max(found, double{std::abs(value)});
      return found;
    };
    const Values got = product(x, card());
    for (std::size_t n = 0; n < kOutputs; ++n) {
      const auto weight = std::span(product.weight).subspan(n * kInputs, kInputs);
      const double x_off = GetParam().of_largest * largest(x);
      const double weight_off = GetParam().of_largest * largest(weight);
      double want = product.bias[n], most = std::abs(want), off = 0;
      for (std::size_t i = 0; i < kInputs; ++i) {
        want += double{x[i]} * weight[i];
        most += std::abs(double{x[i]} * weight[i]);
        off += std::abs(x[i]) * weight_off + std::abs(weight[i]) * x_off + x_off * weight_off;
      }
      ASSERT_NEAR(got[n], want, (2.1 * GetParam().of_itself + 0x1p-8) * most + 1.01 * off);
    }
  }
}

TEST_P(Quantized, OneHugeNumberLeavesTheOthersOfItsRowAndNoOther) {
  const CardProduct product;
  Values x = normal_values(3 * kInputs, 1, 3);
  const Values before = product(x, card());
  x[kInputs + 5] = 1e6f;  // the others of its row are less than half a step: nothing
  const Values got = product(x, card());
  for (std::size_t n = 0; n < kOutputs; ++n) {
    EXPECT_EQ(got[n], before[n]);
    EXPECT_EQ(got[2 * kOutputs + n], before[2 * kOutputs + n]);
    const double want = 1e6 * product.weight[n * kInputs + 5];
    EXPECT_NEAR(got[kOutputs + n], want,
                (GetParam().of_itself + 0x1p-8) * std::abs(want) + 1e6 * GetParam().of_largest + 2);
  }
}

TEST_P(Quantized, ZerosGiveTheBias) {
  const CardProduct product;
  for (const float zero : {0.0f, -0.0f, 1e-38f})
    EXPECT_EQ(product(Values(2 * kInputs, zero), card()), Values(2 * kOutputs, 0.5f));
}

// As bfloat16 gives none either: infinities of E4M3 and int8, which have none, would be 448 and
// 127.
TEST_P(Quantized, WhatIsNoNumberStaysNone) {
  for (const float none : {INFINITY, -INFINITY, std::nanf("")}) {
    CardProduct product;
    Values x = normal_values(kInputs, 1, 3);
    const Values good = x;
    x[kInputs - 1] = none;
    for (const std::string& name : {GetParam().name, std::string("bfloat16")})
      for (const float y : product(x, card(name))) EXPECT_FALSE(std::isfinite(y)) << name;
    product.weight[3 * kInputs] = none;
    EXPECT_FALSE(std::isfinite(product(good, card())[3]));
  }
}

TEST_P(Quantized, OtherProductsAreInBfloat16ToTheBit) {
  const Values x = normal_values(5 * kInputs, 1, 3);
  for (const Role role : {Role::other, Role::attention, Role::feed_forward}) {
    CardProduct product;
    product.role = role;
    const Values exact = product(x, card("bfloat16"));
    const bool attention = GetParam().attention && role == Role::attention;
    EXPECT_EQ(product(x, card()) != exact, role == Role::feed_forward || attention);
  }
}

// Tiles of a result are places of blocks in an order of their own.
TEST_P(Quantized, ARowIsTheSameAmongThousands) {
  constexpr std::size_t kRows = 8200;
  const CardProduct product;
  const Values x = normal_values(kRows * kInputs, 1, 3);
  const Values all = product(x, card());
  for (const std::size_t row : {0, 95, 96, 1535, 1536, 8191, 8199}) {
    const Values one(x.begin() + static_cast<std::ptrdiff_t>(row * kInputs),
                     x.begin() + static_cast<std::ptrdiff_t>((row + 1) * kInputs));
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(row * kOutputs);
    EXPECT_EQ(product(one, card()), Values(first, first + kOutputs)) << row;
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

// And a scale for each 128 inputs, and by what each input is multiplied; of any sizes.
TEST(Int8, WeightsTakeHalfOfWhatTheyTakeInBfloat16) {
  const auto int8 = backend_named("int8", 80);
  for (const Role role : {Role::feed_forward, Role::attention}) {
    EXPECT_EQ(int8->packed_floats(1024, 4096, role), 1024 + 1024 * 4096 / 4 + 8 * 4096u);
    EXPECT_EQ(int8->packed_floats(130, 5, role), 256 + 256 * 5 / 4 + 2 * 8u);
  }
  EXPECT_EQ(int8->packed_floats(1024, 4096, Role::other), 1024 * 4096 / 2u);
  EXPECT_EQ(int8->dtype(), Dtype::int8);
  EXPECT_EQ(int8->state_dtype(), Dtype::bfloat16);
}

TEST(Fp8, IsRefusedByCardsThatHaveNone) {
  for (const int capability : {80, 86}) {
    const auto backend = backend_named("fp8", capability);
    ASSERT_FALSE(backend->status().ok());
    EXPECT_EQ(backend->status().error().message,
              "fp8 needs a card of compute capability 8.9 or later, and this one has 8." +
                  std::to_string(capability % 10));
    EXPECT_TRUE(backend_named("bfloat16", capability)->status().ok());
    EXPECT_TRUE(backend_named("int8", capability)->status().ok());
  }
}

}  // namespace
}  // namespace sheaf::kernels::cuda
