// Feed-forward parts in fp8 whose numbers have bounds: what lies between the two products is
// written in fp8 by the first, or, where the library does not do that, rounded behind it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/normal_values.h"
#include "kernels/ops.h"
#include "kernels/staged.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;
using Values = std::vector<float>;

constexpr std::size_t kColumns = 64, kMiddle = 96;

struct Library {
  int capability = 90;
  bool writes_fp8 = true;
  bool activates = true;
};

class Bounded : public ::testing::TestWithParam<Library> {
 protected:
  Bounded() {
    played_library() = {};
    played_library().writes_fp8 = GetParam().writes_fp8;
    played_library().activates = GetParam().activates;
  }
  ~Bounded() override { played_library() = {}; }

  // Their bounds are three times as large as anything in ordinary rows.
  static constexpr float kInputBound = 12, kMiddleBound = 15;

  static Values ordinary(std::size_t rows) {
    Values x = normal_values(rows * kColumns, 1, 3);
    for (float& value : x) value = std::clamp(value, -4.0f, 4.0f);
    return x;
  }
  // down(activation(up x + b)) + b on an emulated card, whose states are rounded to bfloat16.
  Values operator()(const Values& x, Role role = Role::bounded_feed_forward) {
    const std::size_t rows = x.size() / kColumns;
    Staged backend(card());
    const auto pack = [&](tensor::Buffer& room, const Values& weight, std::size_t inputs,
                          const Known& known) {
      const std::size_t outputs = weight.size() / inputs;
      const std::size_t floats = backend.packed_floats(inputs, outputs, role);
      std::fill_n(room.reserve(floats), floats, 0.0f);
      backend.pack_linear({weight.data(), outputs, inputs}, known, room.reserve(0), role);
      return Linear{.weight = room.reserve(0), .inputs = inputs, .outputs = outputs, .role = role};
    };
    tensor::Buffer first, second;
    Linear up =
        pack(first, up_, kColumns, {.largest_input = kInputBound, .largest_output = kMiddleBound});
    Linear down = pack(second, down_, kMiddle, {.largest_input = kMiddleBound});
    up.bias = up_bias_.data();
    down.bias = down_bias_.data();
    Values out(x.size());
    backend.feed_forward({x.data(), rows, kColumns}, up, activation_, down, {},
                         {out.data(), rows, kColumns});
    EXPECT_TRUE(backend.status().ok());
    return out;
  }
  Values exact(const Values& x) const {
    Values out;
    for (auto row = x.begin(); row != x.end(); row += kColumns) {
      Values middle(kMiddle);
      for (std::size_t n = 0; n < kMiddle; ++n) {
        double sum = up_bias_[n];
        for (std::size_t i = 0; i < kColumns; ++i) sum += double{row[i]} * up_[n * kColumns + i];
        middle[n] = activate(activation_, static_cast<float>(sum));
      }
      for (std::size_t n = 0; n < kColumns; ++n) {
        double sum = down_bias_[n];
        for (std::size_t i = 0; i < kMiddle; ++i) sum += double{middle[i]} * down_[n * kMiddle + i];
        out.push_back(static_cast<float>(sum));
      }
    }
    return out;
  }

  Activation activation_ = Activation::gelu;
  Values up_ = normal_values(kMiddle * kColumns, 0.125f, 1);
  Values down_ = normal_values(kMiddle * kColumns, 0.1f, 2);
  Values up_bias_ = normal_values(kMiddle, 0.5f, 4), down_bias_ = normal_values(kColumns, 1, 5);

 private:
  static std::unique_ptr<Backend> card() {
    for (const DeviceBackend& backend :
         emulated_backends({.own_memory_only = true, .compute_capability = GetParam().capability}))
      if (backend.name == "emulated cuda fp8") return std::move(*backend.make({}));
    return nullptr;
  }
};

INSTANTIATE_TEST_SUITE_P(, Bounded,
                         ::testing::Values(Library{}, Library{89}, Library{100}, Library{90, false},
                                           Library{89, false}, Library{90, true, false},
                                           Library{89, false, false}),
                         [](const auto& info) {
                           const Library& library = info.param;
                           return std::to_string(library.capability) +
                                  (library.writes_fp8 ? "" : "_rounds") +
                                  (library.activates ? "" : "_activates");
                         });

// Numbers of fp8 are off by 2.6 in 100 usually: inputs, weights and the middle, which add up as if
// they had nothing to do with each other.
TEST_P(Bounded, IsNearTheExactOneAsFarAsFp8Is) {
  const Values x = ordinary(50);
  for (const Activation activation :
       {Activation::gelu, Activation::relu, Activation::silu, Activation::none}) {
    activation_ = activation;
    const Values got = (*this)(x), want = exact(x);
    double off = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      off += std::pow(got[i] - want[i], 2);
      size += std::pow(want[i] - down_bias_[i % kColumns], 2);
    }
    EXPECT_LT(std::sqrt(off / size), 0.06);
    EXPECT_GT(std::sqrt(off / size), 0.01) << "not in fp8";
  }
}

// As the library has it that scales rows by themselves: with bounds nothing is lost but steps of
// numbers that are small beside them.
TEST_P(Bounded, IsAsNearAsWithAScaleForEachRow) {
  const Values x = ordinary(100), want = exact(x);
  const auto off = [&](const Values& got) {
    double sum = 0;
    for (std::size_t i = 0; i < got.size(); ++i) sum += std::pow(got[i] - want[i], 2);
    return std::sqrt(sum);
  };
  EXPECT_LT(off((*this)(x)), 1.1 * off((*this)(x, Role::feed_forward)));
}

TEST_P(Bounded, ARowIsTheSameWhateverStandsBesideIt) {
  Values x = ordinary(300);
  const Values all = (*this)(x);
  for (const std::size_t row : {0, 1, 128, 299}) {
    const auto at = static_cast<std::ptrdiff_t>(row * kColumns);
    const Values one(x.begin() + at, x.begin() + at + kColumns);
    EXPECT_EQ((*this)(one), Values(all.begin() + at, all.begin() + at + kColumns)) << row;
  }
  std::fill_n(x.begin() + kColumns, kColumns, kInputBound);
  const Values beside = (*this)(x);
  EXPECT_TRUE(std::equal(all.begin(), all.begin() + kColumns, beside.begin()));
  EXPECT_TRUE(std::equal(all.begin() + 2 * kColumns, all.end(), beside.begin() + 2 * kColumns));
}

TEST_P(Bounded, WhatIsNoNumberIsNoneInItsRowAlone) {
  const Values x = ordinary(3), good = (*this)(x);
  for (const float none : {INFINITY, -INFINITY, std::nanf("")}) {
    Values spoilt = x;
    spoilt[kColumns + 7] = none;
    const Values got = (*this)(spoilt);
    for (std::size_t i = 0; i < got.size(); ++i)
      if (i / kColumns == 1)
        EXPECT_FALSE(std::isfinite(got[i])) << none;
      else
        EXPECT_EQ(got[i], good[i]) << none;
  }
}

TEST_P(Bounded, ZerosGiveWhatTheBiasesMake) {
  const Values zeros(2 * kColumns), got = (*this)(zeros), want = exact(zeros);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 0.05);
}

// Nothing lies between two products but the first's sums, if the library writes those in fp8.
TEST_P(Bounded, TheLibraryIsAskedForFp8First) {
  const auto& [capability, writes_fp8, activates] = GetParam();
  (*this)(ordinary(5));
  // Where it has no such product it is asked for one in bfloat16, without an activation it has not.
  const unsigned refused = writes_fp8 && activates ? 0 : 1;
  EXPECT_EQ(played_library().asked, 2 + refused + (activates ? 0 : 1));
  EXPECT_EQ(played_library().fp8_results > 0, refused == 0);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
