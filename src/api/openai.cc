#include "api/openai.h"

#include <fmt/format.h>

#include "api/embed.h"
#include "api/errors.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "api/model_facts.h"
#include "api/url.h"
#include "api/vector_form.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

struct EmbeddingsBody {
  router::EmbedRequest request;
  std::string_view model, input_type, task;
  std::string_view encoding;  // "float", "base64"; empty: not said
  std::string_view form;      // of vector_form.h, by which other dialects ask for more than those
  // What may be said by several fields.
  std::optional<Said<bool>> truncate, normalize;
  std::optional<Said<tokenizer::Side>> side;
  std::optional<Said<std::uint64_t>> dimensions;
  std::optional<Said<std::string_view>> other_form;
};

Result<std::string_view> read_encoding(JsonValue value) {
  SHEAF_ASSIGN(const std::string_view format, read_text("encoding_format", value));
  if (format == "float") return std::string_view("float");
  if (format == "base64") return std::string_view("base64");
  return wrong("encoding_format",
               fmt::format("encoding_format is \"{}\"; \"float\" and \"base64\" are known",
                           excerpt(format)));
}

// Jina takes a list too, of which one can be answered. "" is as good as nothing.
Result<std::string_view> read_form(std::string_view key, JsonValue value) {
  std::string_view text;
  if (!value.get(text) && text.empty()) return std::string_view();
  simdjson::dom::array list;
  if (value.get(list)) return read_vector_form(key, value);
  if (list.size() == 1) return read_vector_form(key, *list.begin());
  return wrong(key, fmt::format("{} lists {} forms; a vector is sent in one", key, list.size()));
}

// OpenAI has none such; other dialects have a switch or Cohere's words.
Status read_truncate(std::string_view key, JsonValue value, EmbeddingsBody& body) {
  router::EmbedRequest& request = body.request;
  if (const Result<bool> cut = read_bool(key, value); cut.ok()) {
    request.truncate = *cut;
  } else if (value.is_string()) {
    SHEAF_TRY(read_cut(key, value, request));
    if (request.truncate) SHEAF_TRY(agree(body.side, key, value, *request.truncation_side));
  } else {
    return cut.error();
  }
  return agree(body.truncate, key, value, request.truncate);
}

// What would give other vectors, or more of them.
Status want_off(std::string_view key, JsonValue value) {
  SHEAF_ASSIGN(const bool on, read_bool(key, value));
  if (!on) return {};
  return wrong(key,
               fmt::format("{} is true; each text is embedded by itself, into one vector", key));
}

// How texts become tokens.
Result<bool> read_text_option(std::string_view key, JsonValue value, EmbeddingsBody& body) {
  router::EmbedRequest& request = body.request;
  if (key == "truncate" || key == "truncation") {
    SHEAF_TRY(read_truncate(key, value, body));
  } else if (key == "truncate_prompt_tokens") {
    SHEAF_ASSIGN(request.max_tokens, read_token_limit(key, value));
    request.truncate = true;
    SHEAF_TRY(agree(body.truncate, key, value, true));
  } else if (key == "truncation_side" || key == "truncation_direction") {
    SHEAF_ASSIGN(request.truncation_side, read_side(key, value));
    SHEAF_TRY(agree(body.side, key, value, *request.truncation_side));
  } else if (key == "prompt_name") {
    SHEAF_ASSIGN(request.prompt_name, read_text(key, value));
  } else if (key == "input_type") {
    SHEAF_ASSIGN(body.input_type, read_text(key, value));
  } else if (key == "task") {
    SHEAF_ASSIGN(body.task, read_text(key, value));
  } else {
    return false;
  }
  return true;
}

// What is made of a vector before it is sent.
Status read_vector_option(std::string_view key, JsonValue value, EmbeddingsBody& body) {
  if (key == "encoding_format") {
    SHEAF_ASSIGN(body.encoding, read_encoding(value));
  } else if (key == "embedding_type" || key == "output_dtype") {
    SHEAF_ASSIGN(const std::string_view form, read_form(key, value));
    if (form.empty()) return {};
    body.form = form;
    return agree(body.other_form, key, value, form);
  } else if (key == "dimensions" || key == "output_dimension") {
    SHEAF_ASSIGN(body.request.dimensions, read_count(key, value));
    return agree(body.dimensions, key, value, *body.request.dimensions);
  } else if (key == "normalize" || key == "normalized") {
    SHEAF_ASSIGN(body.request.normalize, read_bool(key, value));
    return agree(body.normalize, key, value, body.request.normalize);
  } else if (key == "late_chunking" || key == "return_multivector") {
    return want_off(key, value);
  }
  return {};  // unknown fields are ignored: clients send many
}

Status read_field(const Context& context, std::string_view key, JsonValue value,
                  EmbeddingsBody& body) {
  if (key == "input") {
    const InputRules rules{context.options.allow_token_ids, context.router.options().max_texts};
    SHEAF_ASSIGN(body.request.inputs, read_inputs(key, value, rules));
    if (!body.request.inputs.empty()) return {};
    return wrong("input", "input is an empty list; it needs a text");
  }
  if (value.is_null()) return {};
  if (key == "model") {
    SHEAF_ASSIGN(body.model, read_text(key, value));
    return {};
  }
  SHEAF_ASSIGN(const bool read, read_text_option(key, value, body));
  return read ? Status() : read_vector_option(key, value, body);
}

// Of two fields that say it. OpenAI's clients ask for base64 unasked and would take anything else
// in it for floats.
Status settle_form(EmbeddingsBody& body) {
  if (body.form.empty() || body.form == "float") {
    body.form = body.encoding.empty() ? "float" : body.encoding;
    return {};
  }
  if (body.encoding != "base64" || body.form == "base64") return {};
  return wrong(
      "encoding_format",
      fmt::format("encoding_format is \"base64\", which is of floats, and {} is asked for; "
                  "ask for \"float\" to get its whole numbers",
                  body.form));
}

Result<EmbeddingsBody> read_body(const Call& call) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  EmbeddingsBody body;
  SHEAF_ASSIGN(body.request, begin_embed(call));
  for (const auto& [key, value] : fields) SHEAF_TRY(read_field(call.context, key, value, body));
  if (body.request.inputs.empty()) return wrong("input", "input is missing");
  body.request.model = model_of(call, body.model);
  SHEAF_TRY(settle_form(body));
  SHEAF_TRY(choose_prompt(call.context, "input_type", body.input_type, body.request));
  SHEAF_TRY(choose_prompt(call.context, "task", body.task, body.request));
  return body;
}

std::string write_list(const router::EmbedReply& reply, std::string_view form) {
  const std::size_t rows = reply.tokens.size();
  const std::size_t row_bytes = reply.dimensions * (form == "base64" ? 6 : 13) + 64;
  std::string out;
  out.reserve(rows * row_bytes + 256);
  out.append("{\"object\":\"list\",\"data\":[");
  for (std::size_t i = 0; i < rows; ++i) {
    out.append(i == 0 ? "{" : ",{").append("\"object\":\"embedding\",\"index\":");
    append_number(out, std::int64_t(i));
    out.append(",\"embedding\":");
    append_vector(out, form, {reply.vectors.data() + i * reply.dimensions, reply.dimensions});
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
      ",\"object\":\"model\",\"created\":{},\"owned_by\":\"sheaf\",\"max_model_len\":{},\"sheaf\":",
      model.created_unix_s, model.max_length);
  append_model_facts(out, model.spec);
  out.push_back('}');
}

}  // namespace

core::RequestId openai_embeddings(const Call& call, Respond respond) {
  Result<EmbeddingsBody> body = read_body(call);
  if (!body.ok()) return refuse(call, Dialect::openai, body.error(), respond);
  return run_embed(
      call, std::move(body->request), Dialect::openai,
      [form = body->form](const router::EmbedReply& reply) { return write_list(reply, form); },
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
