#pragma once

#include <string>
#include <string_view>

#include "api/http.h"
#include "api/options.h"
#include "router/router.h"
#include "telemetry/metrics.h"

namespace sheaf::api {

// What every handler may use. Lives as long as the server.
struct Context {
  router::Router& router;
  telemetry::Metrics& metrics;
  const ApiOptions& options;
};

// One request on its way to its handler; like the request, valid until the handler returns.
struct Call {
  const Context& context;
  const HttpRequest& request;
  std::string_view query;       // of the target
  std::string_view rest;        // what follows a prefix route, escapes kept
  std::string_view request_id;  // of the answer's x-request-id
  core::TenantId tenant = 0;
};

// Begins the work and calls `respond` once, now or later. Returns what Router::cancel() takes, or
// 0.
using Handler = core::RequestId (*)(const Call& call, Respond respond);

}  // namespace sheaf::api
