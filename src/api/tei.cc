#include "api/tei.h"

#include <fmt/format.h>

#include <iterator>
#include <span>

#include "api/json_out.h"
#include "api/model_facts.h"
#include "api/predict.h"
#include "api/rerank.h"
#include "api/similarity.h"
#include "api/tei_body.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

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

std::optional<Refusal> read_embed(const Call& call, const simdjson::dom::object& fields,
                                  router::EmbedRequest& request) {
  Result<router::EmbedRequest> begun = begin_embed(call);
  if (!begun.ok()) return Refusal{std::move(begun).error()};
  request = std::move(*begun);
  request.names.list = "inputs";
  std::string_view model;
  auto refusal = read_fields(fields, [&](std::string_view key, JsonValue value) {
    return read_embed_field(call.context, key, value, request, model);
  });
  if (refusal) return refusal;
  if (request.inputs.empty()) return no_inputs("inputs");
  request.model = model_of(call, model);
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

template <model::Output output>
std::optional<Refusal> read_rows(const Call& call, const simdjson::dom::object& fields,
                                 router::EmbedRequest& request) {
  auto refusal = read_embed(call, fields, request);
  request.output = output;
  request.dimensions.reset();  // these routes have none
  return refusal;
}

// In the order of ids, as TEI has it.
std::string write_sparse(const router::EmbedReply& reply) {
  std::size_t floats = 0;
  for (const auto& row : reply.rows) floats += row.size();
  std::string out;
  out.reserve(floats * 20 + reply.rows.size() * 3 + 2);
  for (const auto& row : reply.rows) {
    out.append(out.empty() ? "[[" : ",[");
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      out.append(i == 0 ? "{\"index\":" : ",{\"index\":");
      append_number(out, static_cast<std::int64_t>(row[i]));
      out.append(",\"value\":");
      append_number(out, row[i + 1]);
      out.push_back('}');
    }
    out.push_back(']');
  }
  return out.append("]");
}

std::string write_token_vectors(const router::EmbedReply& reply) {
  std::size_t floats = 0;
  for (const auto& row : reply.rows) floats += row.size();
  std::string out;
  out.reserve(floats * 13 + reply.total_tokens * 3 + 64);
  for (const auto& row : reply.rows) {
    out.append(out.empty() ? "[[" : ",[");
    for (std::size_t i = 0; i + reply.dimensions <= row.size(); i += reply.dimensions) {
      if (i > 0) out.push_back(',');
      append_floats(out, {row.data() + i, reply.dimensions});
    }
    out.push_back(']');
  }
  return out.append("]");
}

constexpr auto read_sparse = read_rows<model::Output::sparse>;
constexpr auto read_tokens = read_rows<model::Output::tokens>;

struct SimilarityBody {
  std::optional<std::string> source;
  std::vector<router::Input> sentences;
};

Status read_similarity_inputs(const Context& context, JsonValue value, SimilarityBody& body) {
  simdjson::dom::object inputs;
  if (value.get(inputs))
    return Error{ErrorCode::invalid_argument,
                 "inputs is not an object; {\"source_sentence\", \"sentences\"} is expected",
                 "inputs"};
  for (const auto& [key, field] : inputs) {
    if (key == "source_sentence") {
      SHEAF_ASSIGN(body.source, read_text("inputs.source_sentence", field));
    } else if (key == "sentences") {
      InputRules rules = input_rules(context);
      rules.texts_max -= 1;  // the source is one more
      SHEAF_ASSIGN(body.sentences, read_inputs("inputs.sentences", field, rules));
    }
  }
  return {};
}

// The source first, then the sentences.
std::optional<Refusal> read_similarity(const Call& call, const simdjson::dom::object& fields,
                                       router::EmbedRequest& request) {
  Result<router::EmbedRequest> begun = begin_embed(call);
  if (!begun.ok()) return Refusal{std::move(begun).error()};
  request = std::move(*begun);
  request.names = {.list = "inputs.sentences", .first = "inputs.source_sentence"};
  std::string_view model;
  SimilarityBody body;
  auto refusal = read_fields(fields, [&](std::string_view key, JsonValue value) -> Status {
    if (key == "inputs") return read_similarity_inputs(call.context, value, body);
    if (key == "model") return read_embed_field(call.context, key, value, request, model);
    simdjson::dom::object parameters;
    if (key != "parameters" || value.get(parameters)) return {};
    for (const auto& [name, field] : parameters)
      if (name != "inputs" && !field.is_null())
        SHEAF_TRY(read_embed_field(call.context, name, field, request, model));
    return {};
  });
  if (refusal) return refusal;
  if (!body.source)
    return Refusal{{ErrorCode::invalid_argument, "inputs.source_sentence is missing", "inputs"}};
  if (body.sentences.empty()) return no_inputs("inputs.sentences");
  request.inputs.emplace_back(*std::move(body.source));
  std::move(body.sentences.begin(), body.sentences.end(), std::back_inserter(request.inputs));
  request.model = model_of(call, model);
  // Their product is then the cosine. Others are of vectors as the model's modules give them.
  const Result<const router::ModelInfo*> found =
      call.context.router.find_model(request.model, request.task);
  request.normalize = !found.ok() || (*found)->spec.normalize ||
                      (*found)->spec.similarity == model::Similarity::cosine;
  return std::nullopt;
}

WriteReply similarity_writer(const Context& context) {
  return [&context](const router::EmbedReply& reply) {
    const Result<const router::ModelInfo*> found = context.router.find_model(reply.model);
    const auto how = found.ok() ? (*found)->spec.similarity : model::Similarity::cosine;
    const std::span<const float> vectors = reply.vectors;
    const std::size_t width = reply.dimensions;
    std::vector<float> similarities;
    for (std::size_t i = 1; i < reply.tokens.size(); ++i)
      similarities.push_back(
          similarity_of(how, vectors.first(width), vectors.subspan(i * width, width)));
    std::string out;
    append_floats(out, similarities);
    return out;
  };
}

// {"0":"joy","1":"anger"} and {"joy":0,"anger":1}
void append_label_names(std::string& out, const std::vector<std::string>& labels) {
  const char* comma = "\"id2label\":{";
  for (std::size_t i = 0; i < labels.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}\"{}\":", std::exchange(comma, ","), i);
    append_json_quoted(out, labels[i]);
  }
  comma = "},\"label2id\":{";
  for (std::size_t i = 0; i < labels.size(); ++i) {
    out.append(std::exchange(comma, ","));
    append_json_quoted(out, labels[i]);
    fmt::format_to(std::back_inserter(out), ":{}", i);
  }
  out.push_back('}');
}

void append_model_type(std::string& out, const model::ModelSpec& spec) {
  if (spec.task() == model::Task::classify) {
    out.append(spec.is_reranker() ? "{\"reranker\":{" : "{\"classifier\":{");
    append_label_names(out, spec.labels);
  } else {
    out.append("{\"embedding\":{\"pooling\":");
    append_json_quoted(out, spec.is_splade()       ? "splade"
                            : spec.pooling.empty() ? "none"
                                                   : name_of(spec.pooling.front()));
  }
  out.append("}}");
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
  out.append(",\"model_type\":");
  append_model_type(out, model.spec);
  fmt::format_to(std::back_inserter(out),
                 ",\"max_concurrent_requests\":{},\"max_input_length\":{},\"max_batch_tokens\":{},"
                 "\"max_batch_requests\":null,\"max_client_batch_size\":{},\"auto_truncate\":{},"
                 "\"tokenization_workers\":{},\"dimensions\":{},\"version\":",
                 context.options.concurrent_requests_max, model.max_length, model.max_batch_tokens,
                 options.max_texts, context.options.auto_truncate, options.tokenizer_threads,
                 model.spec.dimensions);
  append_json_quoted(out, context.options.version);
  out.append(",\"sha\":null,\"docker_label\":null,\"sheaf\":");
  append_model_facts(out, model.spec);
  return out.append("}");
}

template <class Work>
std::optional<Refusal> timed_as_parsing(const Call& call, Work work) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  return work();
}

std::optional<Refusal> parse(const Call& call, simdjson::dom::object& fields) {
  return timed_as_parsing(call, [&] { return parse_body(call, fields); });
}

// A way to read a body's fields into a request.
using Read = std::optional<Refusal>(const Call&, const simdjson::dom::object&,
                                    router::EmbedRequest&);

core::RequestId answer(const Call& call, const simdjson::dom::object& fields, Read read,
                       WriteReply write, Respond respond) {
  router::EmbedRequest request;
  if (auto refusal = timed_as_parsing(call, [&] { return read(call, fields, request); }))
    return refuse(call, *refusal, respond);
  return run_embed(call, std::move(request), Dialect::tei, std::move(write), std::move(respond));
}

core::RequestId parse_and_answer(const Call& call, Read read, WriteReply write, Respond respond) {
  simdjson::dom::object fields;
  if (auto refusal = parse(call, fields)) return refuse(call, *refusal, respond);
  return answer(call, fields, read, std::move(write), std::move(respond));
}

}  // namespace

core::RequestId tei_embed(const Call& call, Respond respond) {
  return parse_and_answer(call, read_embed, write_vectors, std::move(respond));
}

core::RequestId tei_embed_sparse(const Call& call, Respond respond) {
  return parse_and_answer(call, read_sparse, write_sparse, std::move(respond));
}

core::RequestId tei_embed_all(const Call& call, Respond respond) {
  return parse_and_answer(call, read_tokens, write_token_vectors, std::move(respond));
}

core::RequestId tei_similarity(const Call& call, Respond respond) {
  return parse_and_answer(call, read_similarity, similarity_writer(call.context),
                          std::move(respond));
}

// What the body asks for shows in its fields, else in the kind of the model that it names.
core::RequestId tei_root(const Call& call, Respond respond) {
  simdjson::dom::object fields;
  if (auto refusal = parse(call, fields)) return refuse(call, *refusal, respond);
  JsonValue field;
  if (fields["query"].get(field) == simdjson::SUCCESS)
    return rerank_at_root(call, std::move(respond));
  if (fields["inputs"].get(field) == simdjson::SUCCESS && field.is_object())
    return answer(call, fields, read_similarity, similarity_writer(call.context),
                  std::move(respond));
  std::string_view name;
  if (fields["model"].get(name)) name = {};
  const Result<const router::ModelInfo*> model =
      call.context.router.find_model(model_of(call, name));
  if (model.ok() && (*model)->spec.is_splade())
    return answer(call, fields, read_sparse, write_sparse, std::move(respond));
  if (!model.ok() || (*model)->spec.task() == model::Task::embed)
    return answer(call, fields, read_embed, write_vectors, std::move(respond));
  return (*model)->spec.is_reranker() ? rerank_at_root(call, std::move(respond))
                                      : tei_predict(call, std::move(respond));
}

core::RequestId tei_info(const Call& call, Respond respond) {
  Result<const router::ModelInfo*> model = call.context.router.find_model(model_of(call, ""));
  if (!model.ok()) return refuse(call, Dialect::tei, model.error(), respond);
  HttpResponse response;
  response.body = write_info(call.context, **model);
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
