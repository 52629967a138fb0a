#include "api/tei.h"

#include <fmt/format.h>

#include "api/embed.h"
#include "api/errors.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

// A refused body. TEI answers broken JSON with 400, wrong fields with 422, no input with "Empty".
struct Refusal {
  Error error;
  bool broken_json = false;
  bool empty = false;
};

HttpResponse refusal_response(const Call& call, const Refusal& refusal) {
  note_refusal(call.context, call.request_id, refusal.error);
  if (refusal.empty) return tei_empty_response(refusal.error.message);
  return error_response(Dialect::tei, refusal.error, refusal.broken_json ? 400 : 0);
}

// Parses the body and hands each field that is not null to `read`; nothing if all went well.
template <class Read>
std::optional<Refusal> read_fields(const Call& call, Read read) {
  Result<simdjson::dom::object> fields = parse_json_object(call.request.body);
  if (!fields.ok()) return Refusal{std::move(fields).error(), /*broken_json=*/true};
  for (const auto& [key, value] : *fields) {
    if (value.is_null()) continue;
    if (Status status = read(key, value); !status.ok()) return Refusal{std::move(status).error()};
  }
  return std::nullopt;
}

// These routes run on the event loop and answer with 50 times the bytes they are given: 32 MiB
// would be gigabytes, and silence for everyone else meanwhile.
constexpr std::size_t kInspectedBytesMax = 1u << 20;

std::optional<Refusal> refuse_large(const Call& call) {
  const std::size_t bytes = call.request.body.size();
  if (bytes <= kInspectedBytesMax) return std::nullopt;
  return Refusal{{ErrorCode::too_large, fmt::format("the body has {} bytes; this route takes {}",
                                                    bytes, kInspectedBytesMax)}};
}

Refusal no_inputs(std::string_view field) {
  return {
      {ErrorCode::invalid_argument, fmt::format("{} cannot be empty", field), std::string(field)},
      false,
      /*empty=*/true};
}

InputRules input_rules(const Context& context) {
  return {/*allow_ids=*/true, context.router.options().max_texts};
}

Status read_embed_field(const Context& context, std::string_view key, JsonValue value,
                        router::EmbedRequest& request, std::string_view& model) {
  if (key == "inputs") {
    SHEAF_ASSIGN(request.inputs, read_inputs(key, value, input_rules(context)));
  } else if (key == "truncate") {
    SHEAF_ASSIGN(request.truncate, read_bool(key, value));
  } else if (key == "truncation_direction") {
    SHEAF_ASSIGN(request.truncation_side, read_side(key, value));
  } else if (key == "normalize") {
    SHEAF_ASSIGN(request.normalize, read_bool(key, value));
  } else if (key == "dimensions") {
    SHEAF_ASSIGN(request.dimensions, read_count(key, value));
  } else if (key == "prompt_name") {
    SHEAF_ASSIGN(request.prompt_name, read_text(key, value));
  } else if (key == "model") {
    SHEAF_ASSIGN(model, read_text(key, value));
  }
  return {};
}

std::optional<Refusal> read_embed(const Call& call, router::EmbedRequest& request) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  request.truncate = call.context.options.auto_truncate;
  std::string_view model;
  auto refusal = read_fields(call, [&](std::string_view key, JsonValue value) {
    return read_embed_field(call.context, key, value, request, model);
  });
  if (refusal) return refusal;
  if (request.inputs.empty()) return no_inputs("inputs");
  request.model = model_of(call, model);
  Result<TimeUs> deadline_us = deadline_of(call.request);
  if (!deadline_us.ok()) return Refusal{std::move(deadline_us).error()};
  request.deadline_us = *deadline_us;
  return std::nullopt;
}

std::string write_vectors(const router::EmbedReply& reply) {
  const std::size_t rows = reply.tokens.size();
  std::string out;
  out.reserve(rows * (reply.dimensions * 13 + 2) + 2);
  for (std::size_t i = 0; i < rows; ++i) {
    out.push_back(i == 0 ? '[' : ',');
    append_floats(out, {reply.vectors.data() + i * reply.dimensions, reply.dimensions});
  }
  return out.append("]");
}

// The model of a request without replicas' work, or its error.
Result<const router::ModelInfo*> chosen_model(const Call& call, std::string_view body_model) {
  return call.context.router.find_model(model_of(call, body_model));
}

void append_token(std::string& out, const tokenizer::Token& token, std::string_view text) {
  out.append("{\"id\":");
  append_number(out, std::int64_t(token.id));
  const bool from_text = token.start >= 0 && std::size_t(token.stop) <= text.size();
  out.append(",\"text\":");
  // As TEI: what the text says there, not the vocabulary's spelling of it.
  append_json_quoted(out, from_text ? text.substr(token.start, token.stop - token.start)
                                    : std::string_view(token.text));
  out.append(token.special ? ",\"special\":true" : ",\"special\":false");
  if (from_text) {
    fmt::format_to(std::back_inserter(out), ",\"start\":{},\"stop\":{}}}", token.start, token.stop);
  } else {
    out.append(",\"start\":null,\"stop\":null}");
  }
}

struct TokenizeBody {
  std::vector<router::Input> inputs;
  bool add_special_tokens = true;
  std::string prompt_name;
  std::string_view model;
};

std::optional<Refusal> read_tokenize(const Call& call, TokenizeBody& body) {
  if (auto refusal = refuse_large(call)) return refusal;
  const InputRules texts_only{/*allow_ids=*/true, call.context.router.options().max_texts};
  auto refusal = read_fields(call, [&](std::string_view key, JsonValue value) -> Status {
    if (key == "inputs") {
      SHEAF_ASSIGN(body.inputs, read_inputs(key, value, texts_only));
    } else if (key == "add_special_tokens") {
      SHEAF_ASSIGN(body.add_special_tokens, read_bool(key, value));
    } else if (key == "prompt_name") {
      SHEAF_ASSIGN(body.prompt_name, read_text(key, value));
    } else if (key == "model") {
      SHEAF_ASSIGN(body.model, read_text(key, value));
    }
    return {};
  });
  if (refusal) return refusal;
  if (body.inputs.empty()) return no_inputs("inputs");
  for (const router::Input& input : body.inputs) {
    if (!std::holds_alternative<std::string>(input)) {
      return Refusal{
          {ErrorCode::invalid_argument, "inputs holds token ids; texts are expected", "inputs"}};
    }
  }
  return std::nullopt;
}

Result<std::string> prompt_of(const router::ModelInfo& model, const std::string& name) {
  if (name.empty()) return std::string();
  const auto prompt = model.spec.prompts.find(name);
  if (prompt == model.spec.prompts.end()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("model {} has no prompt named \"{}\"", model.name, excerpt(name)),
                 "prompt_name"};
  }
  return prompt->second;
}

Result<std::string> tokenize(const Context& context, const router::ModelInfo& model,
                             const TokenizeBody& body) {
  SHEAF_ASSIGN(const std::string prompt, prompt_of(model, body.prompt_name));
  const auto tokenizer = context.router.tokenizer_of(model);
  std::string out = "[";
  for (const router::Input& input : body.inputs) {
    const std::string text = prompt + std::get<std::string>(input);
    out.append(out.size() == 1 ? "[" : ",[");
    const char* comma = "";
    for (const tokenizer::Token& token :
         tokenizer->encode_tokens(text, {.add_special_tokens = body.add_special_tokens})) {
      out.append(std::exchange(comma, ","));
      append_token(out, token, text);
    }
    out.push_back(']');
  }
  return out.append("]");
}

struct DecodeBody {
  std::vector<std::vector<std::int32_t>> ids;
  bool skip_special_tokens = true;
  std::string_view model;
};

Status read_id_lists(const Context& context, JsonValue value, DecodeBody& body) {
  SHEAF_ASSIGN(std::vector<router::Input> inputs, read_inputs("ids", value, input_rules(context)));
  for (router::Input& input : inputs) {
    auto* ids = std::get_if<std::vector<std::int32_t>>(&input);
    if (ids == nullptr) {
      return Error{ErrorCode::invalid_argument, "ids holds a text; token ids are expected", "ids"};
    }
    body.ids.push_back(std::move(*ids));
  }
  return {};
}

std::optional<Refusal> read_decode(const Call& call, DecodeBody& body) {
  if (auto refusal = refuse_large(call)) return refusal;
  auto refusal = read_fields(call, [&](std::string_view key, JsonValue value) -> Status {
    if (key == "ids") return read_id_lists(call.context, value, body);
    if (key == "skip_special_tokens") {
      SHEAF_ASSIGN(body.skip_special_tokens, read_bool(key, value));
    } else if (key == "model") {
      SHEAF_ASSIGN(body.model, read_text(key, value));
    }
    return {};
  });
  if (refusal) return refusal;
  if (body.ids.empty()) return no_inputs("ids");
  return std::nullopt;
}

Result<std::string> decode(const Context& context, const router::ModelInfo& model,
                           const DecodeBody& body) {
  const auto tokenizer = context.router.tokenizer_of(model);
  std::string out = "[";
  for (const std::vector<std::int32_t>& ids : body.ids) {
    SHEAF_ASSIGN(const std::string text, tokenizer->decode(ids, body.skip_special_tokens));
    if (out.size() > 1) out.push_back(',');
    append_json_quoted(out, text);
  }
  return out.append("]");
}

// Body for answers that need a model but no replica: `write` gives the JSON.
template <class Write>
HttpResponse answer_with_model(const Call& call, std::string_view body_model, Write write) {
  Result<const router::ModelInfo*> model = chosen_model(call, body_model);
  if (!model.ok()) return refusal_response(call, {std::move(model).error()});
  Result<std::string> json = write(**model);
  if (!json.ok()) return refusal_response(call, {std::move(json).error()});
  HttpResponse response;
  response.body = std::move(*json);
  return response;
}

std::string write_info(const Context& context, const router::ModelInfo& model) {
  const router::RouterOptions& options = context.router.options();
  std::string out = "{\"model_id\":";
  append_json_quoted(out, model.name);
  out.append(",\"model_sha\":");
  model.revision.empty() ? void(out.append("null")) : append_json_quoted(out, model.revision);
  out.append(",\"model_dtype\":");
  append_json_quoted(out, model.dtype);
  out.append(",\"served_model_name\":");
  append_json_quoted(out, model.name);
  const std::string_view pooling =
      model.spec.pooling.empty() ? "none" : name_of(model.spec.pooling.front());
  out.append(",\"model_type\":{\"embedding\":{\"pooling\":");
  append_json_quoted(out, pooling);
  fmt::format_to(
      std::back_inserter(out),
      "}}}},\"max_concurrent_requests\":{},\"max_input_length\":{},\"max_batch_tokens\":{},"
      "\"max_batch_requests\":null,\"max_client_batch_size\":{},\"auto_truncate\":{},"
      "\"tokenization_workers\":{},\"dimensions\":{},\"version\":",
      context.options.concurrent_requests_max, model.max_length, model.max_batch_tokens,
      options.max_texts, context.options.auto_truncate, options.tokenizer_threads,
      model.spec.dimensions);
  append_json_quoted(out, context.options.version);
  return out.append(",\"sha\":null,\"docker_label\":null}");
}

}  // namespace

core::RequestId tei_embed(const Call& call, Respond respond) {
  router::EmbedRequest request;
  if (auto refusal = read_embed(call, request)) {
    respond(refusal_response(call, *refusal));
    return 0;
  }
  request.id = call.request_id;
  request.tenant = call.tenant;
  return call.context.router.embed(
      std::move(request), [&context = call.context, received_us = call.request.received_us,
                           respond = std::move(respond)](Result<router::EmbedReply> reply) {
        if (!reply.ok()) return respond(error_response(Dialect::tei, reply.error()));
        HttpResponse response;
        {
          const telemetry::StageTimer timer(context.metrics, telemetry::Stage::encode);
          response.body = write_vectors(*reply);
          add_reply_headers(response, *reply, received_us);
        }
        respond(std::move(response));
      });
}

core::RequestId tei_tokenize(const Call& call, Respond respond) {
  TokenizeBody body;
  if (auto refusal = read_tokenize(call, body)) {
    respond(refusal_response(call, *refusal));
    return 0;
  }
  respond(answer_with_model(call, body.model, [&](const router::ModelInfo& model) {
    return tokenize(call.context, model, body);
  }));
  return 0;
}

core::RequestId tei_decode(const Call& call, Respond respond) {
  DecodeBody body;
  if (auto refusal = read_decode(call, body)) {
    respond(refusal_response(call, *refusal));
    return 0;
  }
  respond(answer_with_model(call, body.model, [&](const router::ModelInfo& model) {
    return decode(call.context, model, body);
  }));
  return 0;
}

core::RequestId tei_info(const Call& call, Respond respond) {
  respond(answer_with_model(call, "", [&](const router::ModelInfo& model) {
    return Result<std::string>(write_info(call.context, model));
  }));
  return 0;
}

}  // namespace sheaf::api
