#pragma once

#include <string>

#include "api/context.h"

namespace sheaf::api {

// A self-contained HTML page: the models, the replicas, and a request to try.
std::string status_page(const Call& call);

}  // namespace sheaf::api
