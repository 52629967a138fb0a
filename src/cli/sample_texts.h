#pragma once

#include <span>
#include <string>

namespace sheaf::cli {

// What precisions are measured over: some sixty texts as people embed them, from one word to a
// page, in several languages and in code.
std::span<const std::string> sample_texts();

// A question to rank them by.
std::string sample_query();

}  // namespace sheaf::cli
