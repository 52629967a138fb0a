#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/top_report.h"

namespace sheaf::cli {

// The report for people: at most `columns` wide and `rows` long, the last line saying how much was
// left out; every line ends with a newline.
std::string text_of(const TopReport& report, std::size_t columns, std::size_t rows);

// For programs.
nlohmann::ordered_json facts_of(const TopReport& report);

}  // namespace sheaf::cli
