#pragma once

#include <cstdint>
#include <optional>

namespace sheaf {

// What a process of this machine has in memory, what it shares with others included (VmRSS of
// proc(5)); nothing where there is no such process. Reads a file, some 10 us.
std::optional<std::uint64_t> resident_bytes(int pid);

}  // namespace sheaf
