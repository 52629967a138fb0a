#pragma once

#include <cstdint>

#include "core/core.h"

namespace sheaf::core {

// Tells a hung replica from a slow one by its progress counter, so that no time limit
// on batches is needed. Time in which it wanted to run and got no core is nobody's fault: on a
// machine that is too busy nothing is killed, and no text is blamed.
class Watchdog {
 public:
  enum class Verdict { fine, stopped, hung_cpu, hung_wall };

  Watchdog(TimeUs cpu_limit_us, TimeUs wall_limit_us)
      : cpu_limit_us_(cpu_limit_us), wall_limit_us_(wall_limit_us) {}

  // A new process, or the next batch begins: the clocks start anew.
  void restart(TimeUs now_us);
  // Progress other than by counter: results have arrived.
  void advanced(TimeUs now_us) { restart(now_us); }

  // `expected_us`: how long the running batch should take; 0 when the replica has no work (then it
  // need not advance, but must not be stopped either).
  Verdict judge(TimeUs now_us, const ProgressSample& sample, TimeUs expected_us);

 private:
  TimeUs cpu_limit_us_;
  TimeUs wall_limit_us_;
  bool has_sample_ = false;  // counter_ and cpu_us_ are set
  std::uint64_t counter_ = 0;
  TimeUs cpu_us_ = 0;       // at the last advance
  TimeUs starved_us_ = 0;   // at the last advance
  TimeUs advanced_us_ = 0;  // wall time of the last advance
};

}  // namespace sheaf::core
