#include "kernels/cuda/card_findings.h"

#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <vector>

#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/normal_values.h"
#include "kernels/ops.h"

// Which backends have findings in common, which shows in what the library is timed for.
namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;

class CardFindingsTest : public testing::Test {
 protected:
  CardFindingsTest() { play(1); }
  ~CardFindingsTest() override { played_library() = {}; }

  // A library of which that algorithm is the fastest.
  static void play(std::size_t fastest) {
    played_library() = {};
    played_library().algorithms.resize(3);
    played_library().algorithms[fastest].milliseconds = 0.5F;
  }
  static std::vector<unsigned> runs() {
    std::vector<unsigned> runs;
    for (const auto& algorithm : played_library().algorithms) runs.push_back(algorithm.runs);
    return runs;
  }

  static std::unique_ptr<Backend> made_of(const std::vector<DeviceBackend>& backends, Dtype dtype) {
    for (const DeviceBackend& backend : backends)
      if (backend.dtype == dtype) return std::move(*backend.make({}));
    return nullptr;
  }
  static void multiply(Backend& backend) {
    constexpr std::size_t kRows = 20, kInputs = 32, kOutputs = 16;
    // What their addresses are multiples of counts, as on a card, where all lie at those of 256.
    alignas(256) static float packed[kInputs * kOutputs];
    alignas(256) static Bfloat16 x[kRows * kInputs], out[kRows * kOutputs];
    const std::vector<float> weight = normal_values(kOutputs * kInputs, 1, 1);
    ASSERT_LE(backend.packed_floats(kInputs, kOutputs), std::size(packed));
    backend.pack_linear({weight.data(), kOutputs, kInputs}, {}, packed);
    backend.linear(
        {reinterpret_cast<const std::byte*>(x), Dtype::bfloat16, kRows, kInputs, kInputs},
        {.weight = packed, .inputs = kInputs, .outputs = kOutputs}, Activation::none, {},
        {reinterpret_cast<std::byte*>(out), Dtype::bfloat16, kRows, kOutputs, kOutputs});
    EXPECT_TRUE(backend.status().ok());
  }
};

// Each as a stream of one replica has it.
TEST_F(CardFindingsTest, AreThoseOfAllBackendsOfAList) {
  const std::vector<DeviceBackend> card = emulated_backends();
  multiply(*made_of(card, Dtype::bfloat16));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4 + 1, 4}));
  play(2);
  multiply(*made_of(card, Dtype::bfloat16));
  EXPECT_EQ(runs(), (std::vector<unsigned>{0, 1, 0}));
  multiply(*made_of(card, Dtype::fp8));
  EXPECT_EQ(runs(), (std::vector<unsigned>{0, 2, 0})) << "of what it multiplies in bfloat16";
}

TEST_F(CardFindingsTest, AreNotThoseOfAnotherList) {
  multiply(*made_of(emulated_backends(), Dtype::bfloat16));
  play(2);
  multiply(*made_of(emulated_backends(), Dtype::bfloat16));
  EXPECT_EQ(runs(), (std::vector<unsigned>{4, 4, 4 + 1}));
}

}  // namespace
}  // namespace sheaf::kernels::cuda
