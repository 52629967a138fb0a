#include "base/error.h"

#include <cstring>

namespace sheaf {

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::unauthenticated:
      return "unauthenticated";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::method_not_allowed:
      return "method_not_allowed";
    case ErrorCode::unsupported_media:
      return "unsupported_media";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::overloaded:
      return "overloaded";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::deadline_exceeded:
      return "deadline_exceeded";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::poisonous:
      return "poisonous";
    case ErrorCode::wrong_model_type:
      return "wrong_model_type";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::io:
      return "io";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

Error errno_error(std::string_view what, int errno_value) {
  return {ErrorCode::io, std::string(what) + ": " + std::strerror(errno_value)};
}

}  // namespace sheaf
