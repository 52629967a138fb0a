#pragma once

#include "api/context.h"

// Slices of this machine for a time, for jobs and other programs (slices/lease.h). Over HTTP a
// lease has no holder that is watched: it ends by time or release. Errors in OpenAI's form.
namespace sheaf::api {

core::RequestId acquire_lease(const Call& call, Respond respond);
core::RequestId list_leases(const Call& call, Respond respond);
core::RequestId renew_lease(const Call& call, Respond respond);    // …/{id}/renew
core::RequestId release_lease(const Call& call, Respond respond);  // …/{id}

}  // namespace sheaf::api
