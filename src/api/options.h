#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::slices {
class LeaseClerk;
}

namespace sheaf::api {

// What answers POST /v1/plan: takes the request's JSON object and calls `done` once with the
// answer's, on any thread, now or later.
using PlanHandler =
    std::function<void(std::string question, std::function<void(Result<std::string>)> done)>;

// What the surface may be told; plain value. Limits of requests (texts, timeout) are the router's.
struct ApiOptions {
  std::vector<std::string> api_keys;           // empty: no key is asked for
  std::vector<std::string> cors_allow_origin;  // "*" or origins; empty: no CORS headers
  // Token-id arrays on the OpenAI route. Off, since LangChain sends ids of OpenAI's vocabulary
  // there.
  bool allow_token_ids = false;
  bool auto_truncate = true;                  // where a request does not say `truncate`
  std::uint64_t concurrent_requests_max = 0;  // shown by /info; the server sets it
  std::string version = "0.1.0";
  PlanHandler plan = {};                 // empty: plans are not made here
  slices::LeaseClerk* leases = nullptr;  // outlives the surface; null: no leases are given
};

}  // namespace sheaf::api
