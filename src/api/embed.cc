#include "api/embed.h"

#include <fmt/format.h>

#include <charconv>

#include "api/errors.h"
#include "api/url.h"
#include "router/request_log.h"

namespace sheaf::api {
namespace {

constexpr std::int64_t kTimeoutMsMax = 86'400'000;

void add_number_header(HttpResponse& response, std::string_view name, std::int64_t value) {
  fmt::format_to(std::back_inserter(response.headers), "{}: {}\r\n", name, value);
}

}  // namespace

std::string model_of(const Call& call, std::string_view body_model) {
  if (!body_model.empty()) return std::string(body_model);
  return query_value(call.query, "model").value_or("");
}

Result<TimeUs> deadline_of(const HttpRequest& request) {
  constexpr std::string_view kName = "x-request-timeout-ms";
  const std::string_view text = request.header(kName);
  if (text.empty()) return TimeUs{0};
  std::int64_t timeout_ms = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), timeout_ms);
  if (error != std::errc() || end != text.end() || timeout_ms < 1 || timeout_ms > kTimeoutMsMax) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("header {} is \"{}\"; a whole number from 1 to {} is expected", kName,
                             text, kTimeoutMsMax),
                 std::string(kName)};
  }
  return monotonic_us() + timeout_ms * 1000;
}

void count_refusal(const Context& context, const Error& error) {
  context.metrics.request_started(telemetry::Metrics::Method::single);
  context.metrics.request_failed(error_row(error.code).metric);
}

void note_refusal(const Context& context, std::string_view request_id, const Error& error) {
  count_refusal(context, error);
  router::log_refusal(request_id, error);
}

void add_reply_headers(HttpResponse& response, const router::EmbedReply& reply,
                       TimeUs received_us) {
  const router::Timings& t = reply.timings;
  const TimeUs total_us = received_us > 0 ? monotonic_us() - received_us : t.total_us;
  response.headers.reserve(640);
  response.add_header("x-sheaf-model", reply.model);
  response.add_header("x-sheaf-replica", reply.replica);
  response.add_header("x-sheaf-slice", reply.slice);
  add_number_header(response, "x-sheaf-total-us", total_us);
  add_number_header(response, "x-sheaf-tokenize-us", t.tokenize_us);
  add_number_header(response, "x-sheaf-queue-us", t.queue_us);
  add_number_header(response, "x-sheaf-compute-us", t.compute_us);
  response.add_header("x-compute-type", reply.slice.starts_with("cores") ? "cpu" : "gpu");
  add_number_header(response, "x-compute-time", total_us / 1000);
  add_number_header(response, "x-compute-characters", std::int64_t(reply.characters));
  add_number_header(response, "x-compute-tokens", std::int64_t(reply.total_tokens));
  add_number_header(response, "x-total-time", total_us / 1000);
  add_number_header(response, "x-tokenization-time", t.tokenize_us / 1000);
  add_number_header(response, "x-queue-time", t.queue_us / 1000);
  add_number_header(response, "x-inference-time", t.compute_us / 1000);
}

}  // namespace sheaf::api
