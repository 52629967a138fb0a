#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "router/router.h"

namespace sheaf::router {

struct OpenRequest;

// The log's line of a request that was answered. Of a server of several models it names the one
// that answered; as a field it is there always.
void log_answer(const OpenRequest& open, const Timings& timings, std::string_view model,
                bool is_only_model);

// The log's line of a request that got an error instead of vectors.
void log_refusal(std::string_view request_id, const Error& error);

// te_request_failure{err}: TEI's words.
std::string_view metric_name(ErrorCode code);

}  // namespace sheaf::router
