#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "api/context.h"
#include "api/errors.h"
#include "api/json_in.h"

// What all dialects do with an embedding request once they have read it.
namespace sheaf::api {

// Model of the request: the body's field, else ?model=, else the default ("").
std::string model_of(const Call& call, std::string_view body_model);

// A request as every dialect begins it: who asks, until when, cut or refused when too long.
Result<router::EmbedRequest> begin_embed(const Call& call);

// NONE refuses what is too long, START and END cut there: Cohere's words, and NVIDIA's.
Status read_cut(std::string_view field, JsonValue value, router::EmbedRequest& request);

// Sets the request's prompt by what a client says its texts are: one of the words of Cohere,
// Voyage, NVIDIA (`input_type`) and Jina (`task`), or a prompt's own name; "" leaves it as it is.
// Documents without a prompt of theirs are taken bare, as sentence-transformers does it, and so are
// all texts of a model without prompts: it knows but one way to read them. Refused, naming `field`,
// is a word of no kind, one for which a model with prompts has none, one for which it has an
// adapter that is not built, and one that another field contradicts. The request names its model
// already.
Status choose_prompt(const Context& context, std::string_view field, std::string_view word,
                     router::EmbedRequest& request);

// Runs the request and answers with `write`'s body and the headers of its reply, or with the error
// in the words of `dialect`. Returns as a Handler does.
using WriteReply = std::function<std::string(const router::EmbedReply&)>;
core::RequestId run_embed(const Call& call, router::EmbedRequest request, Dialect dialect,
                          WriteReply write, Respond respond);

// Answers a request refused before the router saw it.
core::RequestId refuse(const Call& call, Dialect dialect, const Error& error,
                       const Respond& respond);

// Counts and logs a request refused before the router saw it, which does so for all others.
void note_refusal(const Context& context, std::string_view request_id, const Error& error);
// The same where the log is told by others.
void count_refusal(const Context& context, const Error& error);

// x-sheaf-* and TEI's x-compute-… headers. `received_us` is when the request's first byte came.
void add_reply_headers(HttpResponse& response, const router::EmbedReply& reply, TimeUs received_us);

}  // namespace sheaf::api
