#pragma once

#include "cli/command.h"

namespace sheaf::cli {

// `sheaf bench slices MODEL`: what cutting this machine costs or gains. Serves the model by one
// replica on one slice, by one on each slice, and by one on the whole device, and measures each
// with few and with many requests under way.
int bench_slices_command(Arguments arguments);

}  // namespace sheaf::cli
