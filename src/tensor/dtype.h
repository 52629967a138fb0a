#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sheaf::tensor {

// Element types of stored tensors, named as safetensors names them.
enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

std::size_t size_of(DType dtype);       // bytes an element
std::string_view name_of(DType dtype);  // "F32"
std::optional<DType> parse_dtype(std::string_view name);

}  // namespace sheaf::tensor
