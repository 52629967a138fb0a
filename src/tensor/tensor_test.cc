#include <gtest/gtest.h>

#include <cstdint>

#include "tensor/buffer.h"
#include "tensor/matrix.h"

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

}  // namespace
}  // namespace sheaf::tensor
