#include "kernels/cuda/gated_choice.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/normal_values.h"
#include "kernels/ops.h"

// Which way products with gates behind them take, which shows in the room for what lies between:
// multiply_gated() leaves it as it was. That results are right is for dtype_parity.h.
namespace sheaf::kernels::cuda {
namespace {

using emulation::played_library;

class GatedChoiceTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kUntouched = 0x4242;

  GatedChoiceTest() { played_library() = {}; }
  ~GatedChoiceTest() override { played_library() = {}; }

  static std::unique_ptr<Backend> card(int capability = kWarpgroupCapability) {
    return made_of(emulated_backends({.compute_capability = capability}));
  }
  static std::unique_ptr<Backend> made_of(const std::vector<DeviceBackend>& backends) {
    for (const DeviceBackend& backend : backends)
      if (backend.dtype == Dtype::bfloat16) return std::move(*backend.make({}));
    return nullptr;
  }

  struct Shape {
    std::size_t rows = 20, inputs = 64, columns = 128;
    Activation activation = Activation::silu;
    bool bias = false;
  };
  static bool is_in_one(Backend& backend, const Shape& shape) {
    const auto& [rows, inputs, columns, activation, bias] = shape;
    const std::vector<float> weight = normal_values(2 * columns * inputs, 1, 1);
    std::vector<float> packed(backend.packed_floats(inputs, 2 * columns));
    backend.pack_linear({weight.data(), 2 * columns, inputs}, {}, packed.data());
    const std::vector<Bfloat16> x(rows * inputs), biases(2 * columns);
    std::vector<Bfloat16> halves(rows * 2 * columns, Bfloat16{kUntouched}), out(rows * columns);
    Linear linear{.weight = packed.data(), .inputs = inputs, .outputs = 2 * columns};
    if (bias) {
      linear.bias = weight.data();
      linear.state_bias = reinterpret_cast<const std::byte*>(biases.data());
    }
    backend.linear_gated(
        {reinterpret_cast<const std::byte*>(x.data()), Dtype::bfloat16, rows, inputs, inputs},
        linear, activation,
        {reinterpret_cast<std::byte*>(halves.data()), Dtype::bfloat16, rows, 2 * columns,
         2 * columns},
        {reinterpret_cast<std::byte*>(out.data()), Dtype::bfloat16, rows, columns, columns});
    EXPECT_TRUE(backend.status().ok());
    return halves.front().bits == kUntouched;
  }
};

TEST_F(GatedChoiceTest, TakesTheFasterWay) {
  // The played clock counts the library's products alone, so that what is in one takes no time.
  const auto backend = card();
  Shape shape;
  EXPECT_FALSE(is_in_one(*backend, shape)) << "both were timed";
  EXPECT_TRUE(is_in_one(*backend, shape));
  shape.rows = 23;  // its likes
  EXPECT_TRUE(is_in_one(*backend, shape));
  played_library().algorithms[0].milliseconds = 0;
  EXPECT_TRUE(is_in_one(*backend, shape)) << "timed once";
  shape.rows = 100;
  EXPECT_FALSE(is_in_one(*backend, shape));
  EXPECT_FALSE(is_in_one(*backend, shape)) << "nothing is to be gained";
}

TEST_F(GatedChoiceTest, BackendsOfOneCardTakeWhatOneHasFound) {
  const std::vector<DeviceBackend> backends = emulated_backends();
  const auto one = made_of(backends), other = made_of(backends);
  EXPECT_FALSE(is_in_one(*one, {})) << "both were timed";
  played_library().algorithms[0].milliseconds = 0;
  EXPECT_TRUE(is_in_one(*other, {})) << "nothing was timed";
  const auto elsewhere = card();
  EXPECT_FALSE(is_in_one(*elsewhere, {}));
  EXPECT_FALSE(is_in_one(*elsewhere, {})) << "nothing is to be gained";
}

TEST_F(GatedChoiceTest, OthersAreLeftToTheLibrary) {
  const auto backend = card();
  for (const Shape& shape : {Shape{.inputs = 72}, Shape{.columns = 64},
                             Shape{.activation = Activation::relu}, Shape{.bias = true}}) {
    is_in_one(*backend, shape);
    EXPECT_FALSE(is_in_one(*backend, shape)) << shape.inputs << " -> " << shape.columns;
  }
  const auto older = card(89);
  is_in_one(*older, {});
  EXPECT_FALSE(is_in_one(*older, {}));
}

TEST_F(GatedChoiceTest, DoesWithoutWhereItIsToldTo) {
  ::setenv("SHEAF_CUDA_WARPGROUPS", "0", 1);
  const auto without = card();
  ::unsetenv("SHEAF_CUDA_WARPGROUPS");
  is_in_one(*without, {});
  EXPECT_FALSE(is_in_one(*without, {}));
}

}  // namespace
}  // namespace sheaf::kernels::cuda
