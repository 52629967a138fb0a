#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sheaf::slices {
class LeaseClerk;
}

namespace sheaf::api {

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
  slices::LeaseClerk* leases = nullptr;  // outlives the surface; null: no leases are given
};

}  // namespace sheaf::api
