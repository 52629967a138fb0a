#include "api/quantize.h"

#include <algorithm>
#include <cmath>

namespace sheaf::api {
namespace {

constexpr std::int32_t kHalfByte = 128;

std::vector<std::int32_t> shifted(std::vector<std::int32_t> values, std::int32_t by) {
  for (std::int32_t& value : values) value += by;
  return values;
}

}  // namespace

std::vector<std::int32_t> to_int8(std::span<const float> vector) {
  float largest = 0;
  for (const float value : vector) largest = std::max(largest, std::abs(value));
  const float steps = largest > 0 ? 127.0f / largest : 0.0f;
  std::vector<std::int32_t> out;
  out.reserve(vector.size());
  for (const float value : vector)
    out.push_back(static_cast<std::int32_t>(std::lround(value * steps)));
  return out;
}

std::vector<std::int32_t> to_uint8(std::span<const float> vector) {
  return shifted(to_int8(vector), kHalfByte);
}

std::vector<std::int32_t> to_ubinary(std::span<const float> vector) {
  std::vector<std::int32_t> out((vector.size() + 7) / 8);
  for (std::size_t i = 0; i < vector.size(); ++i)
    if (vector[i] > 0) out[i / 8] |= 0x80 >> (i % 8);
  return out;
}

std::vector<std::int32_t> to_binary(std::span<const float> vector) {
  return shifted(to_ubinary(vector), -kHalfByte);
}

}  // namespace sheaf::api
