#pragma once

#include "api/context.h"

namespace sheaf::api {

// What runs where: replicas, models with their queues, and the machine's cards as they were last
// sampled. Counts grow as long as the server lives; who wants rates asks twice and divides by the
// difference of `time_us`.
core::RequestId fleet(const Call& call, Respond respond);

}  // namespace sheaf::api
