#pragma once

#include <string>
#include <string_view>

#include "api/context.h"

// What all dialects do with an embedding request once they have read it.
namespace sheaf::api {

// Model of the request: the body's field, else ?model=, else the default ("").
std::string model_of(const Call& call, std::string_view body_model);

// The absolute deadline of header x-request-timeout-ms; 0 without it.
Result<TimeUs> deadline_of(const HttpRequest& request);

// Counts and logs a request refused before the router saw it, which does so for all others.
void note_refusal(const Context& context, std::string_view request_id, const Error& error);
// The same where the log is told by others.
void count_refusal(const Context& context, const Error& error);

// x-sheaf-* and TEI's x-compute-… headers. `received_us` is when the request's first byte came.
void add_reply_headers(HttpResponse& response, const router::EmbedReply& reply, TimeUs received_us);

}  // namespace sheaf::api
