#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

// How busy processor cores are, as the kernel counts: what anybody runs there.
namespace sheaf::slices {

// Since the boot, in the kernel's ticks (10 ms, mostly). Waiting for a disk is idle.
struct CoreTime {
  std::uint64_t busy = 0, total = 0;
};
using CoreTimes = std::map<int, CoreTime>;  // by the kernel's number

// From /proc/stat; some hundred microseconds.
Result<CoreTimes> read_core_times();
// Of its text: a line "cpu3 …" a core. Error corrupt: there is none.
Result<CoreTimes> parse_core_times(std::string_view text);

// The part of their time in which these cores were busy between two readings, 0 to 1, all of them
// together. Nothing where no time went by, or neither reading knows one of them.
std::optional<double> load_between(const CoreTimes& before, const CoreTimes& after,
                                   std::span<const int> cpus);

}  // namespace sheaf::slices
