#include "api/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace sheaf::api {
namespace {

using enum ErrorCode;
constexpr std::string_view kInvalid = "invalid_request_error";

// A permanent failure is never 5xx: clients would retry it.
constexpr std::array<ErrorRow, 17> kRows = {{
    // clang-format off
    // code               OpenAI: status, type, code                        TEI: status, type    gRPC status                       in band
    {invalid_argument,    400, kInvalid, "",                                422, "Validation",   grpc::INVALID_ARGUMENT,           true},
    {not_found,           404, kInvalid, "model_not_found",                 404, "Validation",   grpc::NOT_FOUND,                  true},
    {unauthenticated,     401, kInvalid, "invalid_api_key",                 401, "Validation",   grpc::UNAUTHENTICATED,            false},
    {permission_denied,   403, kInvalid, "permission_denied",               403, "Validation",   grpc::PERMISSION_DENIED,          false},
    {method_not_allowed,  405, kInvalid, "method_not_allowed",              405, "Validation",   grpc::UNIMPLEMENTED,              false},
    {unsupported_media,   415, kInvalid, "unsupported_media_type",          415, "Validation",   grpc::INVALID_ARGUMENT,           true},
    {too_large,           413, kInvalid, "request_too_large",               413, "Validation",   grpc::INVALID_ARGUMENT,           true},
    {overloaded,          429, "rate_limit_error", "overloaded",            429, "Overloaded",   grpc::RESOURCE_EXHAUSTED,         false},
    {unavailable,         503, "server_error", "unavailable",               503, "Unhealthy",    grpc::UNAVAILABLE,                false},
    {deadline_exceeded,   504, "server_error", "deadline_exceeded",         504, "Backend",      grpc::DEADLINE_EXCEEDED,          false},
    {cancelled,           499, kInvalid, "cancelled",                       499, "Backend",      grpc::CANCELLED,                  false},
    {poisonous,           400, kInvalid, "poisonous_input",                 424, "Backend",      grpc::FAILED_PRECONDITION,        true},
    {wrong_model_type,    400, kInvalid, "wrong_model_type",                424, "Backend",      grpc::FAILED_PRECONDITION,        true},
    {unsupported,         400, kInvalid, "unsupported",                     422, "Validation",   grpc::UNIMPLEMENTED,              true},
    {corrupt,             500, "server_error", "corrupt",                   500, "Backend",      grpc::DATA_LOSS,                  true},
    {io,                  500, "server_error", "io",                        500, "Backend",      grpc::INTERNAL,                   true},
    {internal,            500, "server_error", "internal",                  500, "Backend",      grpc::INTERNAL,                   true},
    // clang-format on
}};

constexpr bool rows_follow_the_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (std::size_t(kRows[i].code) != i) return false;
  }
  return kRows.size() == std::size_t(internal) + 1;
}
static_assert(rows_follow_the_enum());

// Nested, all four keys present: the SDKs' schema (OpenAI's openapi.yaml, Error) requires them.
std::string openai_body(const ErrorRow& row, const Error& error) {
  std::string body = "{\"error\":{\"message\":";
  append_json_quoted(body, error.message);
  body.append(",\"type\":\"").append(row.openai_type).append("\",\"param\":");
  error.param.empty() ? void(body.append("null")) : append_json_quoted(body, error.param);
  body.append(",\"code\":");
  const bool names_model = row.code != not_found || error.param == "model";
  if (row.openai_code.empty() || !names_model) {
    body.append("null");
  } else {
    append_json_quoted(body, row.openai_code);
  }
  return body.append("}}");
}

std::string plain_body(std::string_view field, std::string_view message) {
  std::string body = fmt::format("{{\"{}\":", field);
  append_json_quoted(body, message);
  return body.append("}");
}

std::string tei_body(std::string_view type, std::string_view message) {
  std::string body = "{\"error\":";
  append_json_quoted(body, message);
  return body.append(",\"error_type\":\"").append(type).append("\"}");
}

}  // namespace

const ErrorRow& error_row(ErrorCode code) { return kRows[std::size_t(code)]; }

HttpResponse error_response(Dialect dialect, const Error& error, int status) {
  const ErrorRow& row = error_row(error.code);
  HttpResponse response;
  response.status = dialect == Dialect::tei ? row.tei_status : row.openai_status;
  switch (dialect) {
    case Dialect::openai:
      response.body = openai_body(row, error);
      break;
    case Dialect::tei:
      response.body = tei_body(row.tei_type, error.message);
      break;
    case Dialect::cohere:
      response.body = plain_body("message", error.message);
      break;
    case Dialect::ollama:
      response.body = plain_body("error", error.message);
      break;
  }
  if (status != 0) response.status = status;
  const bool may_retry = error.code == overloaded || error.code == unavailable;
  if (const int wait_s = std::max(error.retry_after_s, may_retry ? 1 : 0); wait_s > 0) {
    response.add_header("Retry-After", std::to_string(wait_s));
  }
  return response;
}

HttpResponse tei_empty_response(std::string_view message) {
  HttpResponse response;
  response.status = 400;
  response.body = tei_body("Empty", message);
  return response;
}

grpc::Status grpc_status(const Error& error) {
  return {error_row(error.code).grpc_status, error.message};
}

}  // namespace sheaf::api
