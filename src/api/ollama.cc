#include "api/ollama.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <utility>

#include "api/embed.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

// Ollama names models "NAME:TAG" and adds ":latest" itself; sheaf's ids have no tags.
std::string without_latest(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return std::string(name);
}

Status read_field(const Context& context, std::string_view inputs_field, std::string_view key,
                  JsonValue value, router::EmbedRequest& request) {
  if (key == inputs_field) {
    const InputRules texts_only{/*allow_ids=*/false, context.router.options().max_texts};
    SHEAF_ASSIGN(request.inputs, read_inputs(key, value, texts_only));
  } else if (key == "model") {
    SHEAF_ASSIGN(const std::string_view model, read_text(key, value));
    request.model = without_latest(model);
  } else if (key == "truncate") {
    SHEAF_ASSIGN(request.truncate, read_bool(key, value));
  } else if (key == "dimensions") {
    SHEAF_ASSIGN(request.dimensions, read_count(key, value));
  }
  return {};  // `options` and `keep_alive` are about a model's loading, which is not asked here
}

Result<router::EmbedRequest> read_body(const Call& call, std::string_view inputs_field) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  SHEAF_ASSIGN(router::EmbedRequest request, begin_embed(call));
  request.names.list = inputs_field;
  for (const auto& [key, value] : fields)
    if (!value.is_null()) SHEAF_TRY(read_field(call.context, inputs_field, key, value, request));
  request.model = model_of(call, request.model);
  if (request.inputs.empty())
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is missing or empty; it needs a text", inputs_field),
                 std::string(inputs_field)};
  return request;
}

std::span<const float> row_of(const router::EmbedReply& reply, std::size_t i) {
  return {reply.vectors.data() + i * reply.dimensions, reply.dimensions};
}

std::string write_embed(const router::EmbedReply& reply) {
  std::string out = "{\"model\":";
  append_json_quoted(out, reply.model);
  out.append(",\"embeddings\":[");
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    if (i > 0) out.push_back(',');
    append_floats(out, row_of(reply, i));
  }
  fmt::format_to(std::back_inserter(out),
                 "],\"total_duration\":{},\"load_duration\":0,\"prompt_eval_count\":{}}}",
                 reply.timings.total_us * 1000, reply.total_tokens);
  return out;
}

std::string write_one(const router::EmbedReply& reply) {
  std::string out = "{\"embedding\":";
  append_floats(out, row_of(reply, 0));
  return out.append("}");
}

void append_tag(std::string& out, const router::ModelInfo& model) {
  out.append("{\"name\":");
  append_json_quoted(out, model.name);
  out.append(",\"model\":");
  append_json_quoted(out, model.name);
  fmt::format_to(
      std::back_inserter(out), ",\"modified_at\":\"{:%Y-%m-%dT%H:%M:%SZ}\",\"size\":{},\"digest\":",
      fmt::gmtime(static_cast<std::time_t>(model.created_unix_s)), model.spec.weights_bytes_fp32);
  append_json_quoted(out, model.revision);
  fmt::format_to(std::back_inserter(out),
                 ",\"details\":{{\"format\":\"safetensors\",\"family\":\"{}\","
                 "\"parameter_size\":\"{:.0f}M\",\"quantization_level\":\"F32\"}}}}",
                 name_of(model.spec.architecture),
                 static_cast<double>(model.spec.parameter_count) / 1e6);
}

}  // namespace

core::RequestId ollama_embed(const Call& call, Respond respond) {
  Result<router::EmbedRequest> request = read_body(call, "input");
  if (!request.ok()) return refuse(call, Dialect::ollama, request.error(), respond);
  return run_embed(call, std::move(*request), Dialect::ollama, write_embed, std::move(respond));
}

core::RequestId ollama_embeddings(const Call& call, Respond respond) {
  Result<router::EmbedRequest> request = read_body(call, "prompt");
  if (request.ok() && request->inputs.size() > 1)
    request =
        Error{ErrorCode::invalid_argument, "prompt is a list; one text is expected", "prompt"};
  if (!request.ok()) return refuse(call, Dialect::ollama, request.error(), respond);
  return run_embed(call, std::move(*request), Dialect::ollama, write_one, std::move(respond));
}

core::RequestId ollama_tags(const Call& call, Respond respond) {
  HttpResponse response;
  response.body = "{\"models\":[";
  const char* comma = "";
  for (const router::ModelInfo* model : call.context.router.models()) {
    response.body.append(std::exchange(comma, ","));
    append_tag(response.body, *model);
  }
  response.body.append("]}");
  respond(std::move(response));
  return 0;
}

core::RequestId ollama_version(const Call& call, Respond respond) {
  HttpResponse response;
  response.body = "{\"version\":";
  append_json_quoted(response.body, call.context.options.version);
  response.body.append("}");
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
