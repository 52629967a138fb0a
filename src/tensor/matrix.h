#pragma once

#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>

namespace sheaf::tensor {

// A view of a row-major matrix; rows may lie further apart than they are long. Never owns.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t stride = 0;  // elements from one row to the next, >= columns

  Matrix() = default;
  Matrix(T* data_in, std::size_t rows_in, std::size_t columns_in)
      : Matrix(data_in, rows_in, columns_in, columns_in) {}
  Matrix(T* data_in, std::size_t rows_in, std::size_t columns_in, std::size_t stride_in)
      : data(data_in), rows(rows_in), columns(columns_in), stride(stride_in) {}
  // A mutable view is a constant one wherever one is wanted.
  operator Matrix<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, columns, stride};
  }

  T* row(std::size_t i) const {
    assert(i < rows);
    return data + i * stride;
  }
  Matrix slice_rows(std::size_t first, std::size_t count) const {
    assert(first + count <= rows);
    return {data + first * stride, count, columns, stride};
  }
  Matrix slice_columns(std::size_t first, std::size_t count) const {
    assert(first + count <= columns);
    return {data + first, rows, count, stride};
  }
};

using MatrixView = Matrix<const float>;
using MatrixSpan = Matrix<float>;

}  // namespace sheaf::tensor
