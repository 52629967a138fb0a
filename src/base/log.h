#pragma once

#include <fmt/core.h>

#include <utility>

#include "base/log_line.h"

namespace sheaf {

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sheaf
