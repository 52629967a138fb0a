#pragma once

#include <cstdint>
#include <span>
#include <string>

// Writers that append to an answer's body.
namespace sheaf::api {

// "[0.1,-2e-05]": each number the shortest decimal that reads back as the same float32. Not-a-
// number and infinities, which JSON lacks, become null.
void append_floats(std::string& out, std::span<const float> values);

// The little-endian float32 bytes in the standard base64 alphabet with padding, as OpenAI's SDKs
// decode them.
void append_base64(std::string& out, std::span<const float> values);

void append_number(std::string& out, std::int64_t value);
void append_number(std::string& out, double value);
void append_number(std::string& out, float value);  // as append_floats() writes it

}  // namespace sheaf::api
