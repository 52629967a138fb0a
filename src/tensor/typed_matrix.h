#pragma once

#include <cassert>
#include <cstddef>
#include <cstdlib>
#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace sheaf::tensor {

// A view of a row-major matrix whose dtype is known at run time, as between operations of a device;
// a view of float32 is one wherever one is wanted. Never owns.
template <class Byte>
struct TypedMatrix {
  static constexpr bool kConstant = std::is_const_v<Byte>;
  using Float = std::conditional_t<kConstant, const float, float>;

  Byte* data = nullptr;
  Dtype dtype = Dtype::float32;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t stride = 0;  // elements from one row to the next, >= columns

  TypedMatrix() = default;
  TypedMatrix(Byte* data_in, Dtype dtype_in, std::size_t rows_in, std::size_t columns_in,
              std::size_t stride_in)
      : data(data_in), dtype(dtype_in), rows(rows_in), columns(columns_in), stride(stride_in) {}
  TypedMatrix(Float* floats, std::size_t rows_in, std::size_t columns_in)
      : TypedMatrix(floats, rows_in, columns_in, columns_in) {}
  TypedMatrix(Float* floats, std::size_t rows_in, std::size_t columns_in, std::size_t stride_in)
      : TypedMatrix(reinterpret_cast<Byte*>(floats), Dtype::float32, rows_in, columns_in,
                    stride_in) {}
  TypedMatrix(const Matrix<Float>& x) : TypedMatrix(x.data, x.rows, x.columns, x.stride) {}
  TypedMatrix(const Matrix<float>& x) requires kConstant
      : TypedMatrix(x.data, x.rows, x.columns, x.stride) {}
  operator TypedMatrix<const std::byte>() const requires(!kConstant) {
    return {data, dtype, rows, columns, stride};
  }

  // The same as floats, which they must be: else it would lead outside.
  Matrix<Float> floats() const {
    if (dtype != Dtype::float32) std::abort();
    return {reinterpret_cast<Float*>(data), rows, columns, stride};
  }

  TypedMatrix slice_rows(std::size_t first, std::size_t count) const {
    assert(first + count <= rows);
    return {data + first * stride * size_of(dtype), dtype, count, columns, stride};
  }
  TypedMatrix slice_columns(std::size_t first, std::size_t count) const {
    assert(first + count <= columns);
    return {data + first * size_of(dtype), dtype, rows, count, stride};
  }
};

using TypedView = TypedMatrix<const std::byte>;
using TypedSpan = TypedMatrix<std::byte>;

// Elements from the first to behind the last, with what lies between rows.
inline std::size_t extent_of(const TypedView& x) {
  return x.rows == 0 ? 0 : (x.rows - 1) * x.stride + x.columns;
}

}  // namespace sheaf::tensor
