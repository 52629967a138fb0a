#include "api/vllm.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/json_out.h"
#include "api/score.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

std::span<const float> row_of(const router::EmbedReply& reply, std::size_t i) {
  return {reply.vectors.data() + i * reply.dimensions, reply.dimensions};
}

std::string begin_reply(std::string_view object, std::string_view id,
                        const router::EmbedReply& reply) {
  std::string out = "{\"id\":";
  append_json_quoted(out, id);
  fmt::format_to(std::back_inserter(out), ",\"object\":\"{}\",\"created\":{},\"model\":", object,
                 unix_seconds());
  append_json_quoted(out, reply.model);
  return out.append(",\"data\":[");
}

void end_reply(std::string& out, const router::EmbedReply& reply) {
  fmt::format_to(std::back_inserter(out),
                 "],\"usage\":{{\"prompt_tokens\":{0},\"total_tokens\":{0}}}}}",
                 reply.total_tokens);
}

// ---- /score

// One side of the pairs, and the field that it came in.
struct Side {
  std::string_view field;
  std::vector<std::string> texts;
};

bool is_first(std::string_view key) {
  return key == "text_1" || key == "data_1" || key == "queries";
}

bool is_second(std::string_view key) {
  return key == "text_2" || key == "data_2" || key == "documents" || key == "items";
}

Status read_side_of_pairs(const Context& context, std::string_view key, JsonValue value,
                          Side& side) {
  side.field = key;
  SHEAF_ASSIGN(side.texts, read_passages(context, key, value));
  return {};
}

// What the other side is called by a client that calls one side so.
std::string_view partner_of(std::string_view field, bool wanted_first) {
  if (field.starts_with("text_")) return wanted_first ? "text_1" : "text_2";
  if (field.starts_with("data_")) return wanted_first ? "data_1" : "data_2";
  return wanted_first ? "queries" : "documents";
}

// 1 with N, or N with N.
Status check_sides(const Side& first, const Side& second) {
  if (first.texts.empty() || second.texts.empty()) {
    const bool is_first = first.texts.empty();
    std::string_view field = is_first ? first.field : second.field;
    if (field.empty()) field = partner_of(is_first ? second.field : first.field, is_first);
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is missing or empty; it needs a text", field), std::string(field)};
  }
  if (first.texts.size() == 1 || first.texts.size() == second.texts.size()) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} has {} texts and {} has {}; one with any number, or as many on both "
                           "sides, can be scored",
                           first.field, first.texts.size(), second.field, second.texts.size()),
               std::string(first.field)};
}

Result<ScoreBody> read_pairs(const Call& call) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  SHEAF_ASSIGN(ScoreBody body, begin_score(call));
  Side first, second;
  for (const auto& [key, value] : fields) {
    if (value.is_null()) continue;
    if (is_first(key)) {
      SHEAF_TRY(read_side_of_pairs(call.context, key, value, first));
    } else if (is_second(key)) {
      SHEAF_TRY(read_side_of_pairs(call.context, key, value, second));
    } else {
      SHEAF_TRY(read_score_option(key, value, body));
    }
  }
  SHEAF_TRY(check_sides(first, second));
  SHEAF_TRY(choose_model(call, ScoreKind::reranker, body));
  body.request.names = {.list = std::string(second.field), .with = std::string(first.field)};
  append_pairs(std::move(first.texts), std::move(second.texts), body.request.inputs);
  return body;
}

std::string write_scores(std::string_view id, bool raw, const router::EmbedReply& reply) {
  std::string out = begin_reply("list", id, reply);
  for (std::size_t i = 0; i < reply.vectors.size(); ++i) {
    fmt::format_to(std::back_inserter(out),
                   "{}{{\"index\":{},\"object\":\"score\",\"score\":", i == 0 ? "" : ",", i);
    append_number(out, raw ? reply.vectors[i] : sigmoid(reply.vectors[i]));
    out.push_back('}');
  }
  end_reply(out, reply);
  return out;
}

// ---- /classify

struct ClassifyBody {
  ScoreBody score;
  bool infinity = false;  // in whose form to answer; else vLLM's
  std::vector<std::string> labels;
  LabelScale scale = LabelScale::softmax;
};

Status read_classify_field(const Context& context, std::string_view key, JsonValue value,
                           ClassifyBody& body) {
  if (key == "input") {
    const InputRules rules{context.options.allow_token_ids, context.router.options().max_texts};
    SHEAF_ASSIGN(body.score.request.inputs, read_inputs(key, value, rules));
    return {};
  }
  if (key == "raw_scores") body.infinity = true;
  return read_score_option(key, value, body.score);
}

Result<ClassifyBody> read_classify(const Call& call) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  ClassifyBody body;
  SHEAF_ASSIGN(body.score, begin_score(call));
  for (const auto& [key, value] : fields)
    if (!value.is_null()) SHEAF_TRY(read_classify_field(call.context, key, value, body));
  if (body.score.request.inputs.empty())
    return Error{ErrorCode::invalid_argument, "input is missing or empty; it needs a text",
                 "input"};
  SHEAF_ASSIGN(const router::ModelInfo* model,
               choose_model(call, ScoreKind::classifier, body.score));
  body.labels = model->spec.labels;
  body.scale = label_scale(model->spec, body.score.raw);
  return body;
}

void append_class(std::string& out, std::size_t index, const std::vector<std::string>& labels,
                  std::span<const float> raw_scores, LabelScale scale) {
  std::vector<float> scores(raw_scores.begin(), raw_scores.end());
  scale_labels(scores, scale);
  fmt::format_to(std::back_inserter(out), "{{\"index\":{},\"label\":", index);
  append_json_quoted(out, labels[ranking(raw_scores)[0]]);
  out.append(",\"probs\":");
  append_floats(out, scores);
  fmt::format_to(std::back_inserter(out), ",\"num_classes\":{}}}", labels.size());
}

std::string write_classes(const ClassifyBody& body, std::string_view id,
                          const router::EmbedReply& reply) {
  std::string out = begin_reply(body.infinity ? "classify" : "list", id, reply);
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    if (i > 0) out.push_back(',');
    if (body.infinity) {
      append_label_scores(out, body.labels, row_of(reply, i), body.scale);
    } else {
      append_class(out, i, body.labels, row_of(reply, i), body.scale);
    }
  }
  end_reply(out, reply);
  return out;
}

}  // namespace

core::RequestId vllm_score(const Call& call, Respond respond) {
  Result<ScoreBody> body = read_pairs(call);
  if (!body.ok()) return refuse(call, Dialect::openai, body.error(), respond);
  return run_embed(
      call, std::move(body->request), Dialect::openai,
      [id = std::string(call.request_id), raw = body->raw](const router::EmbedReply& reply) {
        return write_scores(id, raw, reply);
      },
      std::move(respond));
}

core::RequestId vllm_classify(const Call& call, Respond respond) {
  Result<ClassifyBody> body = read_classify(call);
  if (!body.ok()) return refuse(call, Dialect::openai, body.error(), respond);
  router::EmbedRequest request = std::move(body->score.request);
  return run_embed(
      call, std::move(request), Dialect::openai,
      [id = std::string(call.request_id), body = std::move(*body)](
          const router::EmbedReply& reply) { return write_classes(body, id, reply); },
      std::move(respond));
}

}  // namespace sheaf::api
