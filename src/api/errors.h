#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "api/http.h"
#include "base/error.h"

namespace sheaf::api {

// Cohere's and Ollama's errors are one text in an object, with OpenAI's statuses.
enum class Dialect { openai, tei, cohere, ollama };

// What an error looks like on each surface. The one table; adding an ErrorCode means adding a row.
struct ErrorRow {
  ErrorCode code;
  int openai_status;
  std::string_view openai_type;  // body.error.type
  std::string_view openai_code;  // body.error.code; "" is null
  int tei_status;
  std::string_view tei_type;  // error_type
  grpc::StatusCode grpc_status;
  bool in_band;  // Arctic: reported in EncodeResponse.error, with status OK
};
const ErrorRow& error_row(ErrorCode code);

// The dialect's JSON body, with Retry-After where the error has one. `status` overrides the
// table's, for answers that are HTTP's own (408, 431).
HttpResponse error_response(Dialect dialect, const Error& error, int status = 0);
// TEI's "Empty" (400), for which there is no code of its own.
HttpResponse tei_empty_response(std::string_view message);

grpc::Status grpc_status(const Error& error);

}  // namespace sheaf::api
