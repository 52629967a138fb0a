#pragma once

#include <string>

#include "base/clock.h"

namespace sheaf::core {

// "12.3 s", for messages.
inline std::string seconds(TimeUs time_us) {
  const TimeUs tenths = (time_us + 50'000) / 100'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace sheaf::core
