#include "api/cors.h"

namespace sheaf::api {

std::string cors_origin(const ApiOptions& options, const HttpRequest& request) {
  if (options.cors_allow_origin.empty()) return {};
  const std::string_view origin = request.header("origin");
  for (const std::string& allowed : options.cors_allow_origin) {
    if (allowed == "*") return "*";
    if (!origin.empty() && allowed == origin) return allowed;
  }
  return {};
}

void add_cors_headers(HttpResponse& response, std::string_view origin) {
  if (origin.empty()) return;
  response.add_header("Access-Control-Allow-Origin", origin);
  if (origin != "*") response.add_header("Vary", "Origin");
  // "*" does not cover Authorization-bearing requests, so the names are listed.
  response.add_header("Access-Control-Expose-Headers",
                      "x-request-id, Retry-After, x-sheaf-model, x-sheaf-replica, x-sheaf-slice, "
                      "x-sheaf-total-us, x-sheaf-tokenize-us, x-sheaf-queue-us, "
                      "x-sheaf-compute-us, x-sheaf-cut-texts, x-compute-type, x-compute-time, "
                      "x-compute-characters, "
                      "x-compute-tokens, x-total-time, x-tokenization-time, x-queue-time, "
                      "x-inference-time");
}

HttpResponse preflight_response(const HttpRequest& request, std::string_view origin,
                                std::string_view allowed_methods) {
  HttpResponse response;
  response.status = 204;
  response.content_type = "";
  response.add_header("Allow", std::string(allowed_methods) + ", OPTIONS");
  if (origin.empty()) return response;
  response.add_header("Access-Control-Allow-Methods", allowed_methods);
  if (const auto asked = request.header("access-control-request-headers"); !asked.empty()) {
    response.add_header("Access-Control-Allow-Headers", asked);
  }
  response.add_header("Access-Control-Max-Age", "86400");
  return response;
}

}  // namespace sheaf::api
