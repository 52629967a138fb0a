#include "router/request_log.h"

#include <fmt/core.h>

#include <string>

#include "base/log.h"
#include "router/open_request.h"

namespace sheaf::router {

void log_answer(const OpenRequest& open, const Timings& timings, std::string_view model,
                bool is_only_model) {
  if (!log_enabled(LogLevel::info)) return;
  const std::uint64_t texts = open.request.inputs.size(), tokens = open.inputs.ids.size(),
                      cut = open.inputs.cut;
  const double total = static_cast<double>(timings.total_us) / 1e3,
               tokenize = static_cast<double>(timings.tokenize_us) / 1e3,
               queue = static_cast<double>(timings.queue_us) / 1e3,
               compute = static_cast<double>(timings.compute_us) / 1e3;
  const std::string name = open.name();
  const LogField fields[] = {
      {"request_id", name},      {"model", model},    {"texts", texts},
      {"tokens", tokens},        {"cut", cut},        {"total_ms", total},
      {"tokenize_ms", tokenize}, {"queue_ms", queue}, {"compute_ms", compute}};
  write_log(LogLevel::info,
            fmt::format("request {}: {}texts {}{}, tokens {}, total {:.2f} ms: tokenize {:.2f}, "
                        "queue {:.2f}, compute {:.2f}",
                        name, is_only_model ? "" : fmt::format("{}, ", model), texts,
                        cut == 0 ? "" : fmt::format(" ({} cut)", cut), tokens, total, tokenize,
                        queue, compute),
            fields);
}

void log_refusal(std::string_view request_id, const Error& error) {
  if (!log_enabled(LogLevel::info)) return;
  const LogField fields[] = {{"request_id", request_id}, {"error", name_of(error.code)}};
  write_log(LogLevel::info,
            fmt::format("request {}: {}: {}", request_id, name_of(error.code), error.message),
            fields);
}

std::string_view metric_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::overloaded:
      return "overloaded";
    case ErrorCode::unavailable:
    case ErrorCode::poisonous:
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::internal:
    case ErrorCode::deadline_exceeded:
      return "inference";
    case ErrorCode::cancelled:
      return "dropped";
    case ErrorCode::too_large:
      return "batch_size";
    case ErrorCode::wrong_model_type:
      return "model_type";
    default:
      return "validation";
  }
}

}  // namespace sheaf::router
