#include "kernels/cuda/feed_forward_choice.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/normal_values.h"
#include "kernels/ops.h"

// Which way feed-forward parts take, which shows in the room for what lies between: the one kernel
// leaves it as it was. That results are right is for dtype_parity.h.
namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;

class FeedForwardChoiceTest : public testing::Test {
 protected:
  FeedForwardChoiceTest() { played_library() = {}; }
  ~FeedForwardChoiceTest() override { played_library() = {}; }

  static std::unique_ptr<Backend> card(int capability = kWarpgroupCapability,
                                       Dtype dtype = Dtype::bfloat16) {
    return made_of(emulated_backends({.compute_capability = capability}), dtype);
  }
  static std::unique_ptr<Backend> made_of(const std::vector<DeviceBackend>& backends,
                                          Dtype dtype = Dtype::bfloat16) {
    for (const DeviceBackend& backend : backends)
      if (backend.dtype == dtype) return std::move(*backend.make({}));
    return nullptr;
  }

  struct Shape {
    std::size_t rows = 20, columns = kFedColumns, wide = 64;
    Activation activation = Activation::gelu;
  };
  static bool is_in_one(Backend& backend, const Shape& shape) {
    const auto& [rows, columns, wide, activation] = shape;
    const std::vector<float> weight = normal_values(columns * wide, 1, 1);
    const Linear up = packed(backend, weight, columns, up_);
    const Linear down = packed(backend, weight, wide, down_);
    const std::vector<float> scale(columns, 1);
    const Bfloat16 untouched{0x4242};
    std::vector<Bfloat16> x(rows * columns), sum(rows * columns, untouched);
    const auto states = [&, rows = rows, columns = columns](std::vector<Bfloat16>& values) {
      return TypedSpan{reinterpret_cast<std::byte*>(values.data()), Dtype::bfloat16, rows, columns,
                       columns};
    };
    backend.feed_forward_normalized(states(x), up, activation, down, {.scale = scale.data()},
                                    states(sum));
    EXPECT_TRUE(backend.status().ok());
    return sum.front().bits == untouched.bits;
  }

 private:
  static Linear packed(const Backend& backend, const std::vector<float>& weight, std::size_t inputs,
                       std::vector<float>& memory) {
    const Role role = Role::feed_forward;
    const std::size_t outputs = weight.size() / inputs;
    memory.resize(backend.packed_floats(inputs, outputs, role));
    backend.pack_linear({weight.data(), outputs, inputs}, {}, memory.data(), role);
    return {.weight = memory.data(), .inputs = inputs, .outputs = outputs, .role = role};
  }
  static inline std::vector<float> up_, down_;
};

TEST_F(FeedForwardChoiceTest, TakesTheFasterWay) {
  // The played clock counts the library's products alone, so that what is in one takes no time.
  const auto backend = card();
  EXPECT_FALSE(is_in_one(*backend, {})) << "both were timed";
  EXPECT_TRUE(is_in_one(*backend, {}));
  played_library().algorithms[0].milliseconds = 0;
  EXPECT_TRUE(is_in_one(*backend, {.rows = 23})) << "its likes";
  const Shape other = {.wide = 128};
  EXPECT_FALSE(is_in_one(*backend, other));
  EXPECT_FALSE(is_in_one(*backend, other)) << "nothing is to be gained";
}

TEST_F(FeedForwardChoiceTest, BackendsOfOneCardTakeWhatOneHasFound) {
  const std::vector<DeviceBackend> backends = emulated_backends();
  const auto one = made_of(backends), other = made_of(backends);
  EXPECT_FALSE(is_in_one(*one, {})) << "both were timed";
  played_library().algorithms[0].milliseconds = 0;
  EXPECT_TRUE(is_in_one(*other, {})) << "nothing was timed";
  const auto elsewhere = card();
  EXPECT_FALSE(is_in_one(*elsewhere, {}));
  EXPECT_FALSE(is_in_one(*elsewhere, {})) << "nothing is to be gained";
}

TEST_F(FeedForwardChoiceTest, OthersAreLeftToTheLibrary) {
  const auto backend = card();
  for (const Shape& shape :
       {Shape{.columns = 320}, Shape{.wide = 72}, Shape{.activation = Activation::relu}}) {
    is_in_one(*backend, shape);
    EXPECT_FALSE(is_in_one(*backend, shape)) << shape.columns << " -> " << shape.wide;
  }
  for (const auto& other : {card(89), card(kWarpgroupCapability, Dtype::fp8)}) {
    is_in_one(*other, {});
    EXPECT_FALSE(is_in_one(*other, {})) << other->name();
  }
}

TEST_F(FeedForwardChoiceTest, IsInOneWhereItIsToldTo) {
  ::setenv("SHEAF_CUDA_WARPGROUPS", "always", 1);
  const auto backend = card();
  ::unsetenv("SHEAF_CUDA_WARPGROUPS");
  EXPECT_TRUE(is_in_one(*backend, {})) << "and the clock is not asked";
}

TEST_F(FeedForwardChoiceTest, DoesWithoutWhereItIsToldTo) {
  ::setenv("SHEAF_CUDA_WARPGROUPS", "0", 1);
  const auto without = card();
  ::unsetenv("SHEAF_CUDA_WARPGROUPS");
  is_in_one(*without, {});
  EXPECT_FALSE(is_in_one(*without, {}));
}

}  // namespace
}  // namespace sheaf::kernels::cuda
