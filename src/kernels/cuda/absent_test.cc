#include "kernels/cuda/absent.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/emulated.h"

namespace sheaf::kernels::cuda {
namespace {

TEST(AbsentCard, LaysWeightsOutAsOneThatComputes) {
  constexpr std::size_t kInputs = 32, kOutputs = 16;
  std::vector<float> values(kInputs * kOutputs);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 7;
  const auto emulated = emulated_backends();
  const auto absent = absent_card_backends("emulated cuda ", std::make_shared<CardMemoryUse>());
  ASSERT_EQ(absent.size(), emulated.size());
  for (std::size_t i = 0; i < absent.size(); ++i)
    for (const std::size_t inputs : {kInputs, kInputs - 11}) {
      EXPECT_EQ(absent[i].name, emulated[i].name);
      const auto a = std::move(*absent[i].make({})), b = std::move(*emulated[i].make({}));
      const MatrixView weight = {values.data(), kOutputs, inputs};
      constexpr Role kRole = Role::feed_forward;
      const std::size_t floats = b->packed_floats(inputs, kOutputs, kRole);
      ASSERT_EQ(a->packed_floats(inputs, kOutputs, kRole), floats);
      std::vector<float> of_absent(floats), of_emulated(floats);
      a->pack_linear(weight, {}, of_absent.data(), kRole);
      b->pack_linear(weight, {}, of_emulated.data(), kRole);
      EXPECT_EQ(std::memcmp(of_absent.data(), of_emulated.data(), floats * sizeof(float)), 0);
    }
}

TEST(AbsentCard, CountsMemoryAndHasNone) {
  const auto use = std::make_shared<CardMemoryUse>();
  {
    const auto backend = std::move(*absent_card_backends("cuda ", use).front().make({}));
    tensor::Memory& memory = backend->memory();
    void* block = memory.allocate(std::size_t{1} << 40);
    ASSERT_NE(block, nullptr);
    void* other = memory.allocate(1000);
    memory.release(block);
    EXPECT_EQ(use->now_bytes, 1000u);
    EXPECT_EQ(use->most_bytes, (std::uint64_t{1} << 40) + 1000);
    float value = 1;
    memory.write(&value, sizeof value, other);
    memory.read(other, sizeof value, &value);
    EXPECT_EQ(value, 0);
    // An operation runs as if it had, and touches nothing.
    auto* numbers = static_cast<float*>(other);
    backend->gate({numbers, 1, 8}, Activation::silu, {numbers, 1, 4});
    EXPECT_TRUE(backend->status().ok());
    memory.release(other);
  }
  EXPECT_EQ(use->now_bytes, 0u);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
