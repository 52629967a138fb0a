#pragma once

#include "api/context.h"

// OpenAI's dialect: the embeddings and models routes of its API reference.
namespace sheaf::api {

core::RequestId openai_embeddings(const Call& call, Respond respond);
core::RequestId openai_models(const Call& call, Respond respond);
core::RequestId openai_model(const Call& call, Respond respond);  // rest of the path is the id

}  // namespace sheaf::api
