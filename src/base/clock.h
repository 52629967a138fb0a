#pragma once

#include <cstdint>

namespace sheaf {

// Microseconds on the monotonic clock (CLOCK_MONOTONIC); comparable between processes of one
// machine.
using TimeUs = std::int64_t;
inline constexpr TimeUs kSecond = 1'000'000;
inline constexpr TimeUs kNever = INT64_MAX;  // later than any time

TimeUs monotonic_us();
std::int64_t monotonic_ns();
std::int64_t unix_seconds();
// CPU time that this thread has had; a system call, some 200 ns.
std::int64_t thread_cpu_ns();

}  // namespace sheaf
