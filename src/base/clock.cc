#include "base/clock.h"

#include <ctime>

namespace sheaf {

namespace {

std::int64_t read_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

std::int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }

TimeUs monotonic_us() { return monotonic_ns() / 1000; }

std::int64_t thread_cpu_ns() { return read_ns(CLOCK_THREAD_CPUTIME_ID); }

std::int64_t unix_seconds() { return std::time(nullptr); }

}  // namespace sheaf
