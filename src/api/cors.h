#pragma once

#include "api/http.h"
#include "api/options.h"

namespace sheaf::api {

// The value of Access-Control-Allow-Origin for this request; "" means no CORS headers at all.
std::string cors_origin(const ApiOptions& options, const HttpRequest& request);

void add_cors_headers(HttpResponse& response, std::string_view origin);

// Answer to OPTIONS. Allows whatever headers the browser asks for: SDKs send any x-stainless-* one.
HttpResponse preflight_response(const HttpRequest& request, std::string_view origin,
                                std::string_view allowed_methods);

}  // namespace sheaf::api
