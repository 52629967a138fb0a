#pragma once

#include "api/context.h"

// Ollama's embedding routes (its docs/api.md), which Open WebUI, RAGFlow and Dify can speak.
namespace sheaf::api {

core::RequestId ollama_embed(const Call& call, Respond respond);       // input: text or texts
core::RequestId ollama_embeddings(const Call& call, Respond respond);  // prompt: one; superseded
core::RequestId ollama_tags(const Call& call, Respond respond);        // what is served
core::RequestId ollama_version(const Call& call, Respond respond);

}  // namespace sheaf::api
