#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sheaf {

// "line 3, column 5": where byte `at` of a text stands, counted from 0, or its end. Lines and
// columns count from 1, columns in bytes.
std::string line_and_column(std::string_view text, std::size_t at);

}  // namespace sheaf
