#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sheaf {

// Bytes of base64 text (standard alphabet, padded), or nothing if it is not that.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace sheaf
