#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace sheaf::planner {

// What the products of a model on a GPU may be computed in, the most exact first.
enum class Dtype { float32, bfloat16, int8, fp8 };
inline constexpr std::array<Dtype, 4> kDtypes = {Dtype::float32, Dtype::bfloat16, Dtype::int8,
                                                 Dtype::fp8};

std::string_view name_of(Dtype dtype);  // "bfloat16"
// The error names all that there are.
Result<Dtype> parse_dtype(std::string_view name);

// Of so many numbers in matrices, scales included: int8 is packed in so many blocks, each filled up
// and with a scale (model/spec/parameters.h); fp8 has one an output. All are in that dtype: of a
// model's see planner/memory.h.
std::uint64_t product_bytes(Dtype dtype, std::uint64_t numbers, std::uint64_t int8_blocks);
// Of what passes between products: half where products are smaller than that.
std::uint64_t number_bytes(Dtype dtype);

}  // namespace sheaf::planner
