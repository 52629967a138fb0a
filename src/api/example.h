#pragma once

#include <string>
#include <string_view>

#include "router/router.h"

namespace sheaf::api {

// Calls to try, for a shell: one for each kind of model served (embedder, reranker, classifier),
// with the first model of that kind. `base_url`: "http://HOST:PORT"; `key`: what stands for the API
// key, empty if none is needed.
std::string curl_examples(const router::Router& router, std::string_view base_url,
                          std::string_view key);

}  // namespace sheaf::api
