#pragma once

#include <string>
#include <string_view>

namespace sheaf {

// The closed list of expected failures. src/api/errors.h has the one table from these to HTTP and
// gRPC status. Adding a kind means adding a row there.
enum class ErrorCode {
  invalid_argument,    // the request is wrong and will stay wrong
  not_found,           // unknown model, route or file
  unauthenticated,     // missing or wrong API key
  permission_denied,   // the key may not do this
  method_not_allowed,  // HTTP method or content type that the route does not take
  unsupported_media,
  too_large,          // body, header or batch beyond a limit
  overloaded,         // refused at the door; retry after Error::retry_after_s
  unavailable,        // no ready replica; retry after Error::retry_after_s
  deadline_exceeded,  // the request's own deadline passed
  cancelled,          // the client went away
  poisonous,          // this text kills, hangs or exhausts a replica by itself
  wrong_model_type,   // e.g. rerank asked of an embedding model
  unsupported,        // valid, but not built or not possible here
  corrupt,            // a file or frame contradicts itself
  io,                 // the operating system or network refused
  internal,           // a broken invariant
};

std::string_view name_of(ErrorCode code);  // "invalid_argument", ...

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;    // one sentence naming the thing and the number at fault
  std::string param;      // request field at fault, if any ("dimensions")
  int retry_after_s = 0;  // > 0 where a retry makes sense
};

// Error of kind io: "<what>: <strerror(errno_value)>".
Error errno_error(std::string_view what, int errno_value);

}  // namespace sheaf
