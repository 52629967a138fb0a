#pragma once

#include "api/context.h"

namespace sheaf::api {

// TEI's classification of texts and pairs of texts.
core::RequestId tei_predict(const Call& call, Respond respond);

}  // namespace sheaf::api
