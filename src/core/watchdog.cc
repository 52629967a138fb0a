#include "core/watchdog.h"

#include <algorithm>

namespace sheaf::core {

void Watchdog::restart(TimeUs now_us) {
  has_sample_ = false;
  advanced_us_ = now_us;
}

Watchdog::Verdict Watchdog::judge(TimeUs now_us, const ProgressSample& sample, TimeUs expected_us) {
  if (sample.stopped) return Verdict::stopped;
  if (expected_us == 0) return Verdict::fine;
  const bool first = !has_sample_;
  if (first || sample.counter != counter_) {
    has_sample_ = true;
    counter_ = sample.counter;
    cpu_us_ = sample.cpu_us;
    starved_us_ = sample.starved_us;
    if (!first) advanced_us_ = now_us;  // the first sample only says where the counter stands
    return Verdict::fine;
  }
  if (sample.cpu_us - cpu_us_ >= cpu_limit_us_) return Verdict::hung_cpu;
  const TimeUs wall_limit_us = std::max(wall_limit_us_, 5 * expected_us);
  const TimeUs starved_us = sample.starved_us - starved_us_;
  return now_us - advanced_us_ - starved_us >= wall_limit_us ? Verdict::hung_wall : Verdict::fine;
}

}  // namespace sheaf::core
