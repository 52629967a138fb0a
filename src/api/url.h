#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sheaf::api {

// A request's target in parts.
struct Target {
  std::string path;        // doubled and trailing slashes removed, escapes kept: "/v1/models/a%2Fb"
  std::string_view query;  // after '?', as sent
};
Target split_target(std::string_view target);

// "%2F" → "/"; a broken escape is kept as it is. '+' is a plus in paths and a space in queries.
std::string percent_decode(std::string_view text, bool plus_is_space);

// Decoded value of the first `key=` in a query.
std::optional<std::string> query_value(std::string_view query, std::string_view key);

}  // namespace sheaf::api
