#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sheaf::tensor {

// What the products of a model's layers are computed in: weights as they are stored and activations
// as they enter. Sums and norms are float32, and so is on a processor what passes between
// operations. fp8 is E4M3 (Micikevicius et al., "FP8 Formats for Deep Learning", 2022), beside
// which some products are bfloat16.
enum class Dtype { float32, bfloat16, float16, int8, fp8 };

inline constexpr Dtype kDtypes[] = {Dtype::float32, Dtype::bfloat16, Dtype::float16, Dtype::int8,
                                    Dtype::fp8};

constexpr std::string_view name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::bfloat16:
      return "bfloat16";
    case Dtype::float16:
      return "float16";
    case Dtype::int8:
      return "int8";
    case Dtype::fp8:
      return "fp8";
    case Dtype::float32:
      break;
  }
  return "float32";
}

// Bytes of an element.
constexpr std::size_t size_of(Dtype dtype) {
  if (dtype == Dtype::float32) return 4;
  return dtype == Dtype::int8 || dtype == Dtype::fp8 ? 1 : 2;
}

constexpr std::optional<Dtype> dtype_of(std::string_view name) {
  for (const Dtype dtype : kDtypes)
    if (name_of(dtype) == name) return dtype;
  return std::nullopt;
}

}  // namespace sheaf::tensor
