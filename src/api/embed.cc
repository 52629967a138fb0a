#include "api/embed.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "api/url.h"
#include "base/text.h"
#include "router/request_log.h"

namespace sheaf::api {
namespace {

constexpr std::int64_t kTimeoutMsMax = 86'400'000;

void add_number_header(HttpResponse& response, std::string_view name, std::int64_t value) {
  fmt::format_to(std::back_inserter(response.headers), "{}: {}\r\n", name, value);
}

// The absolute deadline of header x-request-timeout-ms; 0 without it.
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

// What clients call a kind of text, and the names that models give its prompt, the best first.
struct Purpose {
  std::vector<std::string_view> words, prompts;
  bool bare = false;  // where a model with other prompts has none of these
};
const std::vector<Purpose>& purposes() {
  static const std::vector<Purpose> rows = {
      {{"query", "search_query", "retrieval.query"},
       {"query", "search_query", "retrieval.query", "web_search_query", "s2p_query"}},
      {{"document", "search_document", "passage", "retrieval.passage"},
       {"document", "passage", "search_document", "retrieval.passage", "corpus"},
       /*bare=*/true},
      {{"classification"}, {"classification", "Classification"}},
      {{"clustering", "separation"}, {"clustering", "Clustering", "separation"}},
      {{"text-matching"}, {"text-matching", "STS", "s2s_query"}},
      {{"code.query"}, {"code.query", "nl2code_query"}},
      {{"code.passage"}, {"code.passage", "nl2code_document"}},
  };
  return rows;
}

Error wrong_word(std::string_view field, std::string_view word, std::string_view why) {
  return {ErrorCode::invalid_argument,
          fmt::format("{} is {}{}", field, json_quote(excerpt(word)), why), std::string(field)};
}

// The names of its prompts, if any of them puts something before a text.
std::string prompts_of(const model::ModelSpec& spec) {
  std::string names;
  bool any = false;
  for (const auto& [name, text] : spec.prompts) {
    names.append(names.empty() ? "" : ", ").append(name);
    any = any || !text.empty();
  }
  return any ? names : "";
}

std::string known_words() {
  std::string words;
  for (const Purpose& purpose : purposes())
    for (const std::string_view word : purpose.words)
      words.append(words.empty() ? "" : ", ").append(word);
  return words;
}

// "": none.
Result<std::string> prompt_for(const router::ModelInfo& model, std::string_view field,
                               std::string_view word) {
  const auto& prompts = model.spec.prompts;
  if (prompts.contains(std::string(word))) return std::string(word);
  for (const auto& [words, candidates, bare] : purposes()) {
    if (std::find(words.begin(), words.end(), word) == words.end()) continue;
    for (const std::string_view prompt : candidates)
      if (prompts.contains(std::string(prompt))) return std::string(prompt);
    const std::string others = prompts_of(model.spec);
    if (others.empty() || bare) return std::string();
    return wrong_word(field, word,
                      fmt::format(", and none of the prompts of {} is for that; the field may name "
                                  "one of them: {}",
                                  model.name, others));
  }
  return wrong_word(field, word,
                    fmt::format("; {} and the model's prompts are known", known_words()));
}

}  // namespace

std::string model_of(const Call& call, std::string_view body_model) {
  if (!body_model.empty()) return std::string(body_model);
  return query_value(call.query, "model").value_or("");
}

Result<router::EmbedRequest> begin_embed(const Call& call) {
  router::EmbedRequest request;
  request.truncate = call.context.options.auto_truncate;
  request.id = call.request_id;
  request.tenant = call.tenant;
  SHEAF_ASSIGN(request.deadline_us, deadline_of(call.request));
  return request;
}

Status read_cut(std::string_view field, JsonValue value, router::EmbedRequest& request) {
  SHEAF_ASSIGN(const std::string_view word, read_text(field, value));
  const bool start = equal_ignoring_case(word, "START");
  const bool none = equal_ignoring_case(word, "NONE");
  if (!start && !none && !equal_ignoring_case(word, "END"))
    return wrong_word(field, word, "; \"NONE\", \"START\" and \"END\" are known");
  request.truncate = !none;
  request.truncation_side = start ? tokenizer::Side::left : tokenizer::Side::right;
  return {};
}

Status choose_prompt(const Context& context, std::string_view field, std::string_view word,
                     router::EmbedRequest& request) {
  if (word.empty()) return {};
  SHEAF_ASSIGN(const router::ModelInfo* model,
               context.router.find_model(request.model, request.task));
  if (model->spec.adapters)
    return wrong_word(field, word,
                      fmt::format(", for which {} has an adapter; adapters are not built, and "
                                  "without the field it answers as it does without them",
                                  model->name));
  SHEAF_ASSIGN(std::string prompt, prompt_for(*model, field, word));
  if (request.prompt_name && *request.prompt_name != prompt)
    return wrong_word(field, word,
                      fmt::format(", which asks for prompt {}, and prompt {} is asked for too",
                                  json_quote(prompt), json_quote(excerpt(*request.prompt_name))));
  request.prompt_name = std::move(prompt);
  return {};
}

core::RequestId run_embed(const Call& call, router::EmbedRequest request, Dialect dialect,
                          WriteReply write, Respond respond) {
  return call.context.router.embed(
      std::move(request),
      [&context = call.context, dialect, received_us = call.request.received_us,
       write = std::move(write), respond = std::move(respond)](Result<router::EmbedReply> reply) {
        if (!reply.ok()) return respond(error_response(dialect, reply.error()));
        HttpResponse response;
        {
          const telemetry::StageTimer timer(context.metrics, telemetry::Stage::encode);
          response.body = write(*reply);
          add_reply_headers(response, *reply, received_us);
        }
        respond(std::move(response));
      });
}

core::RequestId refuse(const Call& call, Dialect dialect, const Error& error,
                       const Respond& respond) {
  note_refusal(call.context, call.request_id, error);
  respond(error_response(dialect, error));
  return 0;
}

void count_refusal(const Context& context, const Error& error) {
  context.metrics.request_started(telemetry::Metrics::Method::single);
  context.metrics.request_failed(router::metric_name(error.code));
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
  if (reply.cut_inputs > 0)
    add_number_header(response, "x-sheaf-cut-texts", std::int64_t(reply.cut_inputs));
  add_number_header(response, "x-total-time", total_us / 1000);
  add_number_header(response, "x-tokenization-time", t.tokenize_us / 1000);
  add_number_header(response, "x-queue-time", t.queue_us / 1000);
  add_number_header(response, "x-inference-time", t.compute_us / 1000);
}

}  // namespace sheaf::api
