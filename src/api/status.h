#pragma once

#include "api/context.h"

// What a server says about itself: health, metrics, and a page for people.
namespace sheaf::api {

core::RequestId root(const Call& call, Respond respond);          // page or health, by Accept
core::RequestId health(const Call& call, Respond respond);        // Router::check_health()
core::RequestId health_live(const Call& call, Respond respond);   // the process answers
core::RequestId health_ready(const Call& call, Respond respond);  // requests would be taken
core::RequestId metrics(const Call& call, Respond respond);

}  // namespace sheaf::api
