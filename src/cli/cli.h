#pragma once

namespace sheaf::cli {

// The program `sheaf`: chooses the command and runs it. Returns the exit code: 0 done, 1 failed,
// 2 wrong usage.
int run(int argument_count, const char* const* arguments);

}  // namespace sheaf::cli
