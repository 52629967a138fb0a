#pragma once

#include <cstdint>
#include <span>
#include <vector>

// A vector in fewer bits, for indexes that keep it so. Any thread.
namespace sheaf::api {

// Steps of the vector's own largest absolute value / 127, so that whatever the model's spread all
// 8 bits are used: the cosine of two such vectors is that of the originals within 2e-4, their
// product is not scaled alike. All zeros stay zeros. uint8 is the same, 128 higher.
std::vector<std::int32_t> to_int8(std::span<const float> vector);
std::vector<std::int32_t> to_uint8(std::span<const float> vector);

// One bit a dimension, set where it is above 0, the first dimension the highest bit of its byte
// (numpy.packbits); zeros fill the last byte. binary is the same, 128 lower.
std::vector<std::int32_t> to_ubinary(std::span<const float> vector);
std::vector<std::int32_t> to_binary(std::span<const float> vector);

}  // namespace sheaf::api
