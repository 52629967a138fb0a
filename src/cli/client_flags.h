#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "cli/command.h"
#include "cli/flag_set.h"

namespace sheaf::cli {

// How every command but `sheaf serve` begins: sets the variables of `flags` from its arguments and
// from SHEAF_API_KEY and SHEAF_SERVER, where it has such flags, then lets `check` have its word.
// The other variables (SHEAF_MODEL, SHEAF_PORT, …) belong to `sheaf serve`, often set in the same
// shell. Gives the exit code where that was all: the help was printed, or an error was.
std::optional<int> take_client_flags(
    std::string_view command, FlagSet& flags, Arguments arguments,
    const std::function<Status()>& check = [] { return Status(); });

}  // namespace sheaf::cli
