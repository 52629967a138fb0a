#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"

namespace sheaf::api {

// Whose key an Authorization value carries: "Bearer KEY" or, as some clients send it, the bare key.
// Tenants count from 1 in the order of `keys`; without keys all are tenant 0. Nothing: no such key.
// Takes the same time whatever the keys are.
std::optional<core::TenantId> tenant_of(const std::vector<std::string>& keys,
                                        std::string_view authorization);

}  // namespace sheaf::api
