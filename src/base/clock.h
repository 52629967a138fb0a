#pragma once

#include <cstdint>

namespace sheaf {

// Microseconds on the monotonic clock (CLOCK_MONOTONIC); comparable between processes of one
// machine.
using TimeUs = std::int64_t;

TimeUs monotonic_us();
std::int64_t monotonic_ns();
std::int64_t unix_seconds();

}  // namespace sheaf
