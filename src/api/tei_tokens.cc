#include <fmt/format.h>

#include "api/json_out.h"
#include "api/tei.h"
#include "api/tei_body.h"
#include "api/tokens.h"
#include "base/text.h"

// The routes that answer from a tokenizer alone.
namespace sheaf::api {
namespace {

std::optional<Refusal> refuse_large(const Call& call) {
  const Status size = check_inspected_bytes("the body", call.request.body.size());
  if (size.ok()) return std::nullopt;
  return Refusal{size.error()};
}

void append_token(std::string& out, const tokenizer::Token& token) {
  out.append("{\"id\":");
  append_number(out, std::int64_t(token.id));
  out.append(",\"text\":");
  append_json_quoted(out, token.text);
  out.append(token.special ? ",\"special\":true" : ",\"special\":false");
  if (token.start >= 0) {
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

Result<std::string> tokenize(const Context& context, const router::ModelInfo& model,
                             const TokenizeBody& body) {
  std::string out = "[";
  for (const router::Input& input : body.inputs) {
    SHEAF_ASSIGN(const std::vector<tokenizer::Token> tokens,
                 shown_tokens(context, model, std::get<std::string>(input), body.add_special_tokens,
                              body.prompt_name));
    out.append(out.size() == 1 ? "[" : ",[");
    const char* comma = "";
    for (const tokenizer::Token& token : tokens) {
      out.append(std::exchange(comma, ","));
      append_token(out, token);
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
  std::string out = "[";
  for (const std::vector<std::int32_t>& ids : body.ids) {
    SHEAF_ASSIGN(const std::string text, shown_text(context, model, ids, body.skip_special_tokens));
    if (out.size() > 1) out.push_back(',');
    append_json_quoted(out, text);
  }
  return out.append("]");
}

// Answers with `write`'s JSON for the model that the request names.
template <class Write>
core::RequestId answer_with_model(const Call& call, std::string_view body_model, Write write,
                                  const Respond& respond) {
  Result<const router::ModelInfo*> model =
      call.context.router.find_model(model_of(call, body_model));
  if (!model.ok()) return refuse(call, Refusal{std::move(model).error()}, respond);
  Result<std::string> json = write(**model);
  if (!json.ok()) return refuse(call, Refusal{std::move(json).error()}, respond);
  HttpResponse response;
  response.body = std::move(*json);
  respond(std::move(response));
  return 0;
}

}  // namespace

core::RequestId tei_tokenize(const Call& call, Respond respond) {
  TokenizeBody body;
  if (auto refusal = read_tokenize(call, body)) return refuse(call, *refusal, respond);
  return answer_with_model(
      call, body.model,
      [&](const router::ModelInfo& model) { return tokenize(call.context, model, body); }, respond);
}

core::RequestId tei_decode(const Call& call, Respond respond) {
  DecodeBody body;
  if (auto refusal = read_decode(call, body)) return refuse(call, *refusal, respond);
  return answer_with_model(
      call, body.model,
      [&](const router::ModelInfo& model) { return decode(call.context, model, body); }, respond);
}

}  // namespace sheaf::api
