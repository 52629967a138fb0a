#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sheaf::api {

// Does an Authorization value carry one of `keys`? "Bearer KEY" or, as some clients send it, the
// bare key. Always true without keys. Takes the same time whatever the keys are.
bool authorized(const std::vector<std::string>& keys, std::string_view authorization);

}  // namespace sheaf::api
