// What the planner counts by, which knows no kernels.
#include "kernels/cpu/balance.h"
#include "model/spec/parameters.h"

namespace sheaf::model {

static_assert(kInt8Block == kernels::cpu::kInt8Block);

}  // namespace sheaf::model
