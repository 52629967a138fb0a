#include "planner/dtype.h"

#include <fmt/core.h>

#include "model/spec/parameters.h"

namespace sheaf::planner {
namespace {

constexpr std::string_view kNames[] = {"float32", "bfloat16", "int8", "fp8"};

}  // namespace

std::string_view name_of(Dtype dtype) { return kNames[static_cast<std::size_t>(dtype)]; }

Result<Dtype> parse_dtype(std::string_view name) {
  for (const Dtype dtype : kDtypes)
    if (name_of(dtype) == name) return dtype;
  return Error{ErrorCode::invalid_argument,
               fmt::format("'{}' is not one of float32, bfloat16, int8, fp8", name)};
}

std::uint64_t product_bytes(Dtype dtype, std::uint64_t numbers, std::uint64_t int8_blocks) {
  if (dtype == Dtype::int8) return int8_blocks * (model::kInt8Block + sizeof(float));
  // A scale an output is less than a thousandth of its inputs.
  if (dtype == Dtype::fp8) return numbers;
  return numbers * number_bytes(dtype);
}

std::uint64_t number_bytes(Dtype dtype) { return dtype == Dtype::float32 ? 4 : 2; }

}  // namespace sheaf::planner
