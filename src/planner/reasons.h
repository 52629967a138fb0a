#pragma once

#include "planner/plan.h"

namespace sheaf::planner {

// Fills the reasons of a plan that is otherwise complete: a sentence for each slice and model.
void explain(const Machine& machine, std::span<const Demand> demands, Plan& plan);

}  // namespace sheaf::planner
