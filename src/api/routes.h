#pragma once

#include <string>
#include <string_view>

#include "api/context.h"
#include "api/errors.h"

namespace sheaf::api {

// What a caller must bring. Health, metrics and the page are open: probes have no key.
enum class Right { open, key };

// A row of the table in routes.cc. Adding a route is a row there and its handler.
struct Route {
  std::string_view method;
  std::string_view path;  // ending in "/*": a prefix, whose rest the handler gets
  Right right = Right::key;
  Dialect dialect = Dialect::openai;
  bool runs_model = false;  // asks Router::admit() before the body is read
  Handler handler = nullptr;
};

struct RouteMatch {
  const Route* route = nullptr;  // null: no such path, or not with this method
  std::string rest;
  std::string allow;                  // methods of the path, "GET, HEAD"; empty: no such path
  Dialect dialect = Dialect::openai;  // of the path, whatever the method
};
// `path` as split_target() gives it. HEAD is served by GET's route.
RouteMatch match_route(std::string_view method, std::string_view path);

}  // namespace sheaf::api
