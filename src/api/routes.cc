#include "api/routes.h"

#include <optional>

#include "api/cohere.h"
#include "api/fleet.h"
#include "api/leases.h"
#include "api/ollama.h"
#include "api/openai.h"
#include "api/plan.h"
#include "api/predict.h"
#include "api/rerank.h"
#include "api/status.h"
#include "api/tei.h"
#include "api/vllm.h"

namespace sheaf::api {
namespace {

using enum Right;
constexpr Dialect kOpenAi = Dialect::openai;
constexpr Dialect kTei = Dialect::tei;
constexpr Dialect kCohere = Dialect::cohere;
constexpr Dialect kOllama = Dialect::ollama;

constexpr Route kRoutes[] = {
    // clang-format off
    // method  path                  right  dialect  runs a model  handler
    {"POST", "/v1/embeddings",       key,   kOpenAi, true,         openai_embeddings},
    {"POST", "/embeddings",          key,   kOpenAi, true,         openai_embeddings},
    {"GET",  "/v1/models",           key,   kOpenAi, false,        openai_models},
    {"GET",  "/v1/models/*",         key,   kOpenAi, false,        openai_model},
    {"GET",  "/models",              key,   kOpenAi, false,        openai_models},
    {"GET",  "/v1/fleet",            key,   kOpenAi, false,        fleet},
    {"POST", "/v1/plan",             key,   kOpenAi, false,        plan},

    {"POST", "/v1/slices/lease",     key,   kOpenAi, false,        acquire_lease},
    {"GET",  "/v1/slices/lease",     key,   kOpenAi, false,        list_leases},
    {"POST", "/v1/slices/lease/*",   key,   kOpenAi, false,        renew_lease},
    {"DELETE", "/v1/slices/lease/*", key,   kOpenAi, false,        release_lease},

    {"POST", "/embed",               key,   kTei,    true,         tei_embed},
    {"POST", "/embed_sparse",        key,   kTei,    true,         tei_embed_sparse},
    {"POST", "/embed_all",           key,   kTei,    true,         tei_embed_all},
    {"POST", "/",                    key,   kTei,    true,         tei_root},
    {"POST", "/predict",             key,   kTei,    true,         tei_predict},
    {"POST", "/similarity",          key,   kTei,    true,         tei_similarity},
    {"POST", "/tokenize",            key,   kTei,    false,        tei_tokenize},
    {"POST", "/decode",              key,   kTei,    false,        tei_decode},
    {"GET",  "/info",                key,   kTei,    false,        tei_info},

    {"POST", "/rerank",              key,   kTei,    true,         rerank},
    {"POST", "/reranking",           key,   kTei,    true,         rerank},
    {"POST", "/v1/rerank",           key,   kCohere, true,         rerank_v1},
    {"POST", "/v1/reranking",        key,   kCohere, true,         rerank_v1},
    {"POST", "/v2/rerank",           key,   kCohere, true,         rerank_v2},

    {"POST", "/score",               key,   kOpenAi, true,         vllm_score},
    {"POST", "/v1/score",            key,   kOpenAi, true,         vllm_score},
    {"POST", "/classify",            key,   kOpenAi, true,         vllm_classify},

    {"POST", "/v2/embed",            key,   kCohere, true,         cohere_embed_v2},
    {"POST", "/v1/embed",            key,   kCohere, true,         cohere_embed_v1},

    {"POST", "/api/embed",           key,   kOllama, true,         ollama_embed},
    {"POST", "/api/embeddings",      key,   kOllama, true,         ollama_embeddings},
    {"GET",  "/api/tags",            key,   kOllama, false,        ollama_tags},
    {"GET",  "/api/version",         open,  kOllama, false,        ollama_version},

    {"GET",  "/",                    open,  kTei,    false,        root},
    {"GET",  "/health",              open,  kTei,    false,        health},
    {"GET",  "/ping",                open,  kTei,    false,        health},
    {"GET",  "/health/live",         open,  kTei,    false,        health_live},
    {"GET",  "/health/ready",        open,  kTei,    false,        health_ready},
    {"GET",  "/metrics",             open,  kTei,    false,        metrics},
    // clang-format on
};

// What `path` has beyond the row's path, if the row takes it.
std::optional<std::string_view> rest_of(const Route& route, std::string_view path) {
  if (!route.path.ends_with("/*")) {
    return path == route.path ? std::optional<std::string_view>("") : std::nullopt;
  }
  const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
  if (path.size() <= prefix.size() || !path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

void add_method(std::string& allow, std::string_view method) {
  if (!allow.empty()) allow.append(", ");
  allow.append(method);
  if (method == "GET") allow.append(", HEAD");
}

}  // namespace

RouteMatch match_route(std::string_view method, std::string_view path) {
  if (method == "HEAD") method = "GET";
  RouteMatch match;
  if (path.starts_with("/api/")) match.dialect = Dialect::ollama;
  for (const Route& route : kRoutes) {
    const std::optional<std::string_view> rest = rest_of(route, path);
    if (!rest) continue;
    match.dialect = route.dialect;
    if (route.method == method) {
      match.route = &route;
      match.rest = *rest;
      return match;
    }
    add_method(match.allow, route.method);
  }
  return match;
}

}  // namespace sheaf::api
