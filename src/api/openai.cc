#include "api/openai.h"

#include <fmt/format.h>

#include "api/embed.h"
#include "api/errors.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "api/url.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

struct EmbeddingsBody {
  router::EmbedRequest request;
  bool base64 = false;
  std::string_view model, input_type;
};

Result<bool> read_encoding(JsonValue value) {
  SHEAF_ASSIGN(const std::string_view format, read_text("encoding_format", value));
  if (format == "float") return false;
  if (format == "base64") return true;
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("encoding_format is \"{}\"; \"float\" and \"base64\" are known", excerpt(format)),
      "encoding_format"};
}

Status read_field(const Context& context, std::string_view key, JsonValue value,
                  EmbeddingsBody& body) {
  if (value.is_null() && key != "input") return {};
  if (key == "input") {
    const InputRules rules{context.options.allow_token_ids, context.router.options().max_texts};
    SHEAF_ASSIGN(body.request.inputs, read_inputs(key, value, rules));
    if (body.request.inputs.empty()) {
      return Error{ErrorCode::invalid_argument, "input is an empty list; it needs a text", "input"};
    }
  } else if (key == "model") {
    SHEAF_ASSIGN(body.model, read_text(key, value));
  } else if (key == "encoding_format") {
    SHEAF_ASSIGN(body.base64, read_encoding(value));
  } else if (key == "dimensions") {
    SHEAF_ASSIGN(body.request.dimensions, read_count(key, value));
  } else if (key == "truncate") {
    SHEAF_ASSIGN(body.request.truncate, read_bool(key, value));
  } else if (key == "truncate_prompt_tokens") {
    SHEAF_ASSIGN(body.request.max_tokens, read_token_limit(key, value));
    body.request.truncate = true;
  } else if (key == "truncation_side" || key == "truncation_direction") {
    SHEAF_ASSIGN(body.request.truncation_side, read_side(key, value));
  } else if (key == "normalize") {
    SHEAF_ASSIGN(body.request.normalize, read_bool(key, value));
  } else if (key == "prompt_name") {
    SHEAF_ASSIGN(body.request.prompt_name, read_text(key, value));
  } else if (key == "input_type") {
    SHEAF_ASSIGN(body.input_type, read_text(key, value));
  }
  return {};  // unknown fields are ignored: clients send many
}

Result<EmbeddingsBody> read_body(const Call& call) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  EmbeddingsBody body;
  SHEAF_ASSIGN(body.request, begin_embed(call));
  for (const auto& [key, value] : fields) SHEAF_TRY(read_field(call.context, key, value, body));
  if (body.request.inputs.empty()) {
    return Error{ErrorCode::invalid_argument, "input is missing", "input"};
  }
  body.request.model = model_of(call, body.model);
  SHEAF_TRY(choose_prompt(call.context, body.input_type, body.request));
  return body;
}

std::string write_list(const router::EmbedReply& reply, bool base64) {
  const std::size_t rows = reply.tokens.size();
  const std::size_t row_bytes = reply.dimensions * (base64 ? 6 : 13) + 64;
  std::string out;
  out.reserve(rows * row_bytes + 256);
  out.append("{\"object\":\"list\",\"data\":[");
  for (std::size_t i = 0; i < rows; ++i) {
    out.append(i == 0 ? "{" : ",{").append("\"object\":\"embedding\",\"index\":");
    append_number(out, std::int64_t(i));
    out.append(",\"embedding\":");
    const std::span row(reply.vectors.data() + i * reply.dimensions, reply.dimensions);
    if (base64) {
      out.push_back('"');
      append_base64(out, row);
      out.push_back('"');
    } else {
      append_floats(out, row);
    }
    out.push_back('}');
  }
  out.append("],\"model\":");
  append_json_quoted(out, reply.model);
  fmt::format_to(std::back_inserter(out),
                 ",\"usage\":{{\"prompt_tokens\":{0},\"total_tokens\":{0}}}}}", reply.total_tokens);
  return out;
}

void append_model(std::string& out, const router::ModelInfo& model) {
  out.append("{\"id\":");
  append_json_quoted(out, model.name);
  fmt::format_to(
      std::back_inserter(out),
      ",\"object\":\"model\",\"created\":{},\"owned_by\":\"sheaf\",\"max_model_len\":{}}}",
      model.created_unix_s, model.max_length);
}

}  // namespace

core::RequestId openai_embeddings(const Call& call, Respond respond) {
  Result<EmbeddingsBody> body = read_body(call);
  if (!body.ok()) return refuse(call, Dialect::openai, body.error(), respond);
  return run_embed(
      call, std::move(body->request), Dialect::openai,
      [base64 = body->base64](const router::EmbedReply& reply) {
        return write_list(reply, base64);
      },
      std::move(respond));
}

core::RequestId openai_models(const Call& call, Respond respond) {
  HttpResponse response;
  response.body = "{\"object\":\"list\",\"data\":[";
  bool first = true;
  for (const router::ModelInfo* model : call.context.router.models()) {
    if (!std::exchange(first, false)) response.body.push_back(',');
    append_model(response.body, *model);
  }
  response.body.append("]}");
  respond(std::move(response));
  return 0;
}

core::RequestId openai_model(const Call& call, Respond respond) {
  const std::string id = percent_decode(call.rest, /*plus_is_space=*/false);
  Result<const router::ModelInfo*> model = call.context.router.find_model(id);
  if (!model.ok()) {
    model.error().param = "model";
    respond(error_response(Dialect::openai, model.error()));
    return 0;
  }
  HttpResponse response;
  append_model(response.body, **model);
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
