#include "base/clock.h"

#include <ctime>

namespace sheaf {

std::int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

TimeUs monotonic_us() { return monotonic_ns() / 1000; }

std::int64_t unix_seconds() { return std::time(nullptr); }

}  // namespace sheaf
