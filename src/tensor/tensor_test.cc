#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "tensor/bfloat16.h"
#include "tensor/buffer.h"
#include "tensor/matrix.h"
#include "tensor/typed_matrix.h"

namespace sheaf::tensor {
namespace {

TEST(Matrix, SlicesKeepTheStride) {
  float data[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const MatrixSpan all(data, 3, 4);
  const MatrixSpan middle = all.slice_rows(1, 2).slice_columns(1, 2);
  EXPECT_EQ(middle.rows, 2u);
  EXPECT_EQ(middle.columns, 2u);
  EXPECT_EQ(middle.row(0)[0], 5);
  EXPECT_EQ(middle.row(1)[1], 10);
}

TEST(TypedMatrix, SlicesCountInElements) {
  std::byte data[24] = {};
  const TypedSpan all(data, Dtype::bfloat16, 3, 4, 4);
  const TypedView middle = all.slice_rows(1, 2).slice_columns(1, 2);
  EXPECT_EQ(middle.data, data + 10);
  EXPECT_EQ(middle.rows, 2u);
  EXPECT_EQ(middle.columns, 2u);
  EXPECT_EQ(middle.stride, 4u);
  EXPECT_EQ(extent_of(middle), 6u);
}

TEST(TypedMatrix, IsOneOfFloatsToo) {
  float data[6] = {0, 1, 2, 3, 4, 5};
  const MatrixSpan floats(data, 2, 2, 3);
  const TypedView typed = floats;
  EXPECT_EQ(typed.dtype, Dtype::float32);
  EXPECT_EQ(typed.floats().row(1), data + 3);
  EXPECT_EQ(TypedSpan(floats).slice_columns(1, 1).floats().row(1)[0], 4);
}

TEST(Bfloat16, IsRoundedToTheNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_bfloat16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_bfloat16(to_bfloat16(value))));
      continue;
    }
    ASSERT_EQ(to_bfloat16(value), bits);
    if ((bits & 0x7fff) >= 0x7f7f) continue;
    const float next = from_bfloat16(static_cast<std::uint16_t>(bits + 1));
    const float middle = value + (next - value) / 2;
    ASSERT_EQ(to_bfloat16(middle), bits + (bits & 1));
    ASSERT_EQ(to_bfloat16(std::nextafter(middle, value)), bits);
    ASSERT_EQ(to_bfloat16(std::nextafter(middle, next)), bits + 1);
  }
  const float values[] = {1, -2, 0.5f};
  EXPECT_EQ(to_bfloat16(values), (std::vector<std::uint32_t>{0xc0003f80, 0x3f00}));
}

TEST(Buffer, TakesTheBytesOfADtype) {
  Buffer buffer;
  const TypedSpan room = buffer.matrix(Dtype::bfloat16, 3, 5, host_memory());
  EXPECT_EQ(room.stride, 5u);
  EXPECT_EQ(buffer.bytes(), 32u);  // whole floats
}

TEST(Buffer, GrowsAlignedAndNeverShrinks) {
  Buffer buffer;
  EXPECT_EQ(buffer.bytes(), 0u);
  float* first = buffer.reserve(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0u);
  EXPECT_EQ(buffer.reserve(10), first);
  EXPECT_EQ(buffer.bytes(), 400u);
  buffer.reserve(1000)[999] = 1;
  Buffer taken = std::move(buffer);
  EXPECT_EQ(taken.reserve(1000)[999], 1);
}

// Counts what it is asked for.
class Counted final : public Memory {
 public:
  ~Counted() override { EXPECT_EQ(blocks, 0); }
  void* allocate(std::size_t bytes) override {
    ++blocks;
    return host_memory().allocate(bytes);
  }
  void release(void* block) override {
    --blocks;
    host_memory().release(block);
  }
  void write(const void* host, std::size_t bytes, void* to) override {
    ++copies;
    std::memcpy(to, host, bytes);
  }
  void read(const void* from, std::size_t bytes, void* host) override {
    ++copies;
    std::memcpy(host, from, bytes);
  }

  int blocks = 0;
  int copies = 0;
};

TEST(Memory, OfTheHostCopiesNothing) {
  Buffer buffer;
  const std::vector<float> values = {1, 2, 3, 4};
  std::vector<float> copy;
  EXPECT_EQ(buffer.hold(std::span<const float>(values), host_memory()), values.data());
  EXPECT_EQ(buffer.bytes(), 0u);
  EXPECT_EQ(on_host({values.data(), 2, 2}, host_memory(), copy).data, values.data());
}

TEST(Memory, OfADeviceIsWhereBuffersLie) {
  Counted device;
  {
    Buffer buffer;
    buffer.matrix(2, 2, device);
    EXPECT_EQ(device.blocks, 1);
    buffer.reserve(8, device);  // grows
    EXPECT_EQ(device.blocks, 1);
    Buffer other;
    const std::vector<float> values = {1, 2, 0, 4, 5, 0};
    const float* held = other.hold(std::span<const float>(values), device);
    EXPECT_NE(held, values.data());
    std::vector<float> copy;
    const MatrixView back = on_host({held, 2, 2, 3}, device, copy);
    EXPECT_EQ(back.row(1)[1], 5);
    EXPECT_EQ(device.copies, 2);
    Buffer rounded;
    const auto words = to_bfloat16(values);
    const auto* halves = rounded.hold(std::span<const std::uint32_t>(words), device);
    const MatrixView widened = on_host(
        {reinterpret_cast<const std::byte*>(halves), Dtype::bfloat16, 2, 2, 3}, device, copy);
    EXPECT_EQ(widened.row(1)[1], 5);
    buffer = std::move(other);
  }
  EXPECT_EQ(device.blocks, 0);
}

}  // namespace
}  // namespace sheaf::tensor
