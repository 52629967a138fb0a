#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"

namespace sheaf::api {

// TEI's classification of texts and pairs of texts.
core::RequestId tei_predict(const Call& call, Respond respond);

// One text, or two that the model reads together; `field` names them where they are neither.
Result<router::Input> sequence_of(std::string_view field, std::vector<std::string> texts);

}  // namespace sheaf::api
