#include "core/death.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

namespace sheaf::core {
namespace {

// Signals that a process raises by its own doing. SIGKILL, SIGTERM, SIGINT, SIGHUP and the like
// come from others.
constexpr std::array kOwnSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

Death judge_signal(const ExitReport& report) {
  const bool own =
      std::find(kOwnSignals.begin(), kOwnSignals.end(), report.value) != kOwnSignals.end();
  std::string cause = "signal " + std::to_string(report.value);
  if (const char* name = sigabbrev_np(report.value)) cause += std::string(" (SIG") + name + ")";
  return {own ? Blame::suspected : Blame::none, own, std::move(cause)};
}

Death judge_kind(const ExitReport& report) {
  switch (report.kind) {
    case ExitReport::Kind::exit_code:  // 0 too: nobody had asked it to go
      return {Blame::suspected, true, "exit code " + std::to_string(report.value)};
    case ExitReport::Kind::signal:
      return judge_signal(report);
    case ExitReport::Kind::spawn_failed:
      return {Blame::none, true, "could not be started"};
    case ExitReport::Kind::protocol_error:  // its memory is damaged, as after a wild write
      return {Blame::suspected, true, "broken frames"};
    case ExitReport::Kind::slice_lost:
      return {Blame::none, false, "its slice was lost"};
  }
  return {};
}

}  // namespace

Death judge(const ExitReport& report, std::size_t items_running) {
  Death death = report.out_of_memory ? Death{Blame::too_large, items_running <= 1, "out of memory"}
                                     : judge_kind(report);
  if (!report.detail.empty()) death.cause += ": " + report.detail;
  return death;
}

std::optional<Death> judge(Watchdog::Verdict verdict) {
  switch (verdict) {
    case Watchdog::Verdict::fine:
      return {};
    case Watchdog::Verdict::stopped:
      return Death{Blame::none, false, "stopped"};
    case Watchdog::Verdict::hung_cpu:
      return Death{Blame::suspected, true, "hung: computes without progress"};
    case Watchdog::Verdict::hung_wall:
      return Death{Blame::suspected, true, "hung: no progress"};
  }
  return {};
}

}  // namespace sheaf::core
