#pragma once

#include "api/context.h"

// Cohere's embed routes (its API reference, v1 and v2), also served by vLLM. Of all dialects the
// one that says what a text is for (`input_type`) and that asks for vectors in fewer bits.
namespace sheaf::api {

core::RequestId cohere_embed_v1(const Call& call, Respond respond);
core::RequestId cohere_embed_v2(const Call& call, Respond respond);

}  // namespace sheaf::api
