#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "core/core.h"
#include "core/watchdog.h"

namespace sheaf::core {

// What a replica's end, or its refusal of a batch, says about the items it was running.
enum class Blame {
  none,       // a foreign signal: they run again at once
  suspected,  // the process ended by itself or hung: one of them may be the reason
  too_large,  // out of memory: too many of them
};

struct Death {
  Blame blame = Blame::none;
  // Counts for back-off and breaker: deaths with blame, and starts that failed; but not when half
  // of the batch may well go.
  bool failure = false;
  std::string cause;  // "signal 11 (Segmentation fault)"
};

// It ended by itself. `items_running`: in the batch that it was at.
Death judge(const ExitReport& report, std::size_t items_running);
// It does not move and must be killed; none: it is fine.
std::optional<Death> judge(Watchdog::Verdict verdict);

}  // namespace sheaf::core
