#include "api/cohere.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/embed.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "api/vector_form.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

enum class Version { v1, v2 };

struct CohereBody {
  router::EmbedRequest request;
  std::string_view model, input_type;
  std::vector<std::string_view> types;  // as asked for, each once
  int lists = 0;                        // of inputs that have been read
};

Result<std::vector<std::string_view>> read_types(JsonValue value) {
  simdjson::dom::array list;
  if (value.get(list)) return wrong("embedding_types", "embedding_types is not a list");
  std::vector<std::string_view> types;
  for (const JsonValue item : list) {
    SHEAF_ASSIGN(const std::string_view name, read_vector_form("embedding_types", item, "holds"));
    if (std::find(types.begin(), types.end(), name) == types.end()) types.push_back(name);
  }
  return types;
}

// [{"content": [{"type": "text", "text": ...}, ...]}, ...]: the parts of one input are one text.
Result<std::string> read_parts(const std::string& field, JsonValue value) {
  simdjson::dom::array parts;
  if (value["content"].get(parts))
    return wrong("inputs", fmt::format("{} has no list \"content\"", field));
  std::string text;
  for (const JsonValue part : parts) {
    std::string_view words;
    if (part["text"].get(words))
      return wrong("inputs",
                   fmt::format("{} has a part that is not text; this model takes texts", field));
    text.append(text.empty() ? "" : " ").append(words);
  }
  return text;
}

Status read_mixed_inputs(const Context& context, JsonValue value, router::EmbedRequest& request) {
  simdjson::dom::array list;
  if (value.get(list)) return wrong("inputs", "inputs is not a list");
  if (list.size() > context.router.options().max_texts)
    return Error{ErrorCode::too_large,
                 fmt::format("inputs has {} inputs; at most {} are taken", list.size(),
                             context.router.options().max_texts),
                 "inputs"};
  for (const JsonValue item : list) {
    SHEAF_ASSIGN(std::string text,
                 read_parts(fmt::format("inputs[{}]", request.inputs.size()), item));
    request.inputs.emplace_back(std::move(text));
  }
  return {};
}

Status read_field(const Context& context, std::string_view key, JsonValue value, CohereBody& body) {
  if (key == "texts" || key == "inputs") {
    if (body.lists++ > 0) return wrong(key, "texts and inputs are both given; leave one out");
    body.request.names.list = key;
  }
  if (key == "texts") {
    const InputRules texts_only{/*allow_ids=*/false, context.router.options().max_texts};
    SHEAF_ASSIGN(body.request.inputs, read_inputs(key, value, texts_only));
  } else if (key == "inputs") {
    SHEAF_TRY(read_mixed_inputs(context, value, body.request));
  } else if (key == "images") {
    return wrong(key, "images are not taken: this model embeds texts");
  } else if (key == "model") {
    SHEAF_ASSIGN(body.model, read_text(key, value));
  } else if (key == "input_type") {
    SHEAF_ASSIGN(body.input_type, read_text(key, value));
  } else if (key == "embedding_types") {
    SHEAF_ASSIGN(body.types, read_types(value));
  } else if (key == "output_dimension") {
    SHEAF_ASSIGN(body.request.dimensions, read_count(key, value));
  } else if (key == "max_tokens") {
    SHEAF_ASSIGN(body.request.max_tokens, read_token_limit(key, value));
  } else if (key == "truncate") {
    SHEAF_TRY(read_cut(key, value, body.request));
  }
  return {};
}

Result<CohereBody> read_body(const Call& call) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  CohereBody body;
  SHEAF_ASSIGN(body.request, begin_embed(call));
  for (const auto& [key, value] : fields)
    if (!value.is_null()) SHEAF_TRY(read_field(call.context, key, value, body));
  if (body.request.inputs.empty()) return wrong("texts", "texts is missing or empty");
  body.request.model = model_of(call, body.model);
  SHEAF_TRY(choose_prompt(call.context, "input_type", body.input_type, body.request));
  return body;
}

void append_rows(std::string& out, std::string_view type, const router::EmbedReply& reply) {
  out.push_back('[');
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    if (i > 0) out.push_back(',');
    append_vector(out, type, {reply.vectors.data() + i * reply.dimensions, reply.dimensions});
  }
  out.push_back(']');
}

void append_typed(std::string& out, const std::vector<std::string_view>& types,
                  const router::EmbedReply& reply) {
  const char* comma = "{";
  for (const std::string_view type : types) {
    out.append(std::exchange(comma, ",")).append("\"").append(type).append("\":");
    append_rows(out, type, reply);
  }
  out.push_back('}');
}

// What is answered besides the vectors; the texts come back as v1 and v2 have them.
struct Echo {
  Version version = Version::v2;
  std::string id;
  std::vector<std::string> texts;
  std::vector<std::string_view> types;  // v1 without any: bare lists of floats
};

std::string write_reply(const Echo& echo, const router::EmbedReply& reply) {
  std::string out;
  out.reserve(reply.tokens.size() * reply.dimensions * 13 + 512);
  out.append("{\"id\":");
  append_json_quoted(out, echo.id);
  out.append(",\"embeddings\":");
  const bool bare = echo.types.empty();
  bare ? append_rows(out, "float", reply) : append_typed(out, echo.types, reply);
  out.append(",\"texts\":[");
  for (std::size_t i = 0; i < echo.texts.size(); ++i) {
    if (i > 0) out.push_back(',');
    append_json_quoted(out, echo.texts[i]);
  }
  fmt::format_to(std::back_inserter(out),
                 "],\"meta\":{{\"api_version\":{{\"version\":\"{}\"}},"
                 "\"billed_units\":{{\"input_tokens\":{}}}}},\"response_type\":\"{}\"}}",
                 echo.version == Version::v1 ? 1 : 2, reply.total_tokens,
                 bare ? "embeddings_floats" : "embeddings_by_type");
  return out;
}

core::RequestId embed(Version version, const Call& call, Respond respond) {
  Result<CohereBody> body = read_body(call);
  if (!body.ok()) return refuse(call, Dialect::cohere, body.error(), respond);
  Echo echo{version, std::string(call.request_id), {}, std::move(body->types)};
  if (version == Version::v2 && echo.types.empty()) echo.types = {"float"};
  for (const router::Input& input : body->request.inputs)
    echo.texts.push_back(std::get<std::string>(input));
  return run_embed(
      call, std::move(body->request), Dialect::cohere,
      [echo = std::move(echo)](const router::EmbedReply& reply) {
        return write_reply(echo, reply);
      },
      std::move(respond));
}

}  // namespace

core::RequestId cohere_embed_v1(const Call& call, Respond respond) {
  return embed(Version::v1, call, std::move(respond));
}

core::RequestId cohere_embed_v2(const Call& call, Respond respond) {
  return embed(Version::v2, call, std::move(respond));
}

}  // namespace sheaf::api
