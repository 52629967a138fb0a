#pragma once

#include "api/context.h"

namespace sheaf::api {

// POST /v1/plan: which slices and replicas a configuration needs. What makes plans is handed in
// (ApiOptions::plan): the router's parts know no planner.
core::RequestId plan(const Call& call, Respond respond);

}  // namespace sheaf::api
