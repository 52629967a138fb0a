#pragma once

#include <string>

#include "core/core.h"

namespace sheaf::core {

// What a replica's end says about the items it was running.
enum class Blame {
  none,       // a foreign signal: they run again at once
  suspected,  // the process ended by itself or hung: one of them may be the reason
  too_large,  // out of memory: too many of them
};

struct Death {
  Blame blame = Blame::none;
  // Counts for back-off and breaker: deaths with blame, and starts that failed.
  bool failure = false;
  std::string cause;  // "signal 11 (Segmentation fault)"
};

Death judge(const ExitReport& report);

}  // namespace sheaf::core
