#include "api/predict.h"

#include <fmt/format.h>

#include "api/score.h"
#include "api/tei_body.h"

namespace sheaf::api {
namespace {

struct PredictBody {
  ScoreBody score;
  bool batch = false;  // answered with a list for each input
  std::vector<std::string> labels;
  LabelScale scale = LabelScale::softmax;
};

router::Input pair_of(std::string first, std::string second) {
  return router::TextPair{std::make_shared<const std::string>(std::move(first)), std::move(second)};
}

// ["a"] or ["a", "b"]: one input of one or two texts.
Result<router::Input> read_sequence(const Context& context, std::string_view field,
                                    JsonValue value) {
  if (JsonValue other; value.is_object() && value["text_pair"].get(other) == simdjson::SUCCESS) {
    SHEAF_ASSIGN(std::string first, read_passage(field, value));
    SHEAF_ASSIGN(std::string second, read_passage(fmt::format("{}.text_pair", field), other));
    return pair_of(std::move(first), std::move(second));
  }
  SHEAF_ASSIGN(std::vector<std::string> texts, read_passages(context, field, value));
  return sequence_of(field, std::move(texts));
}

// A list of objects is one input each, as Hugging Face's pipelines read it.
bool is_batch(const simdjson::dom::array& list) {
  return list.begin() != list.end() && !(*list.begin()).is_string();
}

Status read_inputs(const Context& context, JsonValue value, PredictBody& body) {
  std::vector<router::Input>& inputs = body.score.request.inputs;
  inputs.clear();  // of a key given twice the last counts
  simdjson::dom::array list;
  const bool is_list = value.get(list) == simdjson::SUCCESS;
  if (is_list && list.size() == 0) return {};
  body.batch = is_list && is_batch(list);
  if (!body.batch) {
    SHEAF_ASSIGN(inputs.emplace_back(), read_sequence(context, "inputs", value));
    return {};
  }
  const std::size_t most = context.router.options().max_texts;
  if (list.size() > most)
    return Error{ErrorCode::too_large,
                 fmt::format("inputs holds {} inputs; a request may hold {}", list.size(), most),
                 "inputs"};
  for (const JsonValue item : list) {
    SHEAF_ASSIGN(router::Input input,
                 read_sequence(context, fmt::format("inputs[{}]", inputs.size()), item));
    inputs.push_back(std::move(input));
  }
  return {};
}

std::optional<Refusal> read_body(const Call& call, PredictBody& body) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  Result<ScoreBody> begun = begin_score(call);
  if (!begun.ok()) return Refusal{std::move(begun).error()};
  body.score = std::move(*begun);
  body.score.request.names.list = "inputs";
  auto refusal = read_fields(call, [&](std::string_view key, JsonValue value) {
    return key == "inputs" ? read_inputs(call.context, value, body)
                           : read_score_option(key, value, body.score);
  });
  if (refusal) return refusal;
  if (body.score.request.inputs.empty()) return no_inputs("inputs");
  Result<const router::ModelInfo*> model = choose_model(call, ScoreKind::classifier, body.score);
  if (!model.ok()) return Refusal{std::move(model).error()};
  body.labels = (*model)->spec.labels;
  body.scale = label_scale((*model)->spec, body.score.raw);
  return std::nullopt;
}

std::string write_predictions(const std::vector<std::string>& labels, bool batch, LabelScale scale,
                              const router::EmbedReply& reply) {
  std::string out;
  for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
    if (batch) out.push_back(i == 0 ? '[' : ',');
    append_label_scores(out, labels,
                        {reply.vectors.data() + i * reply.dimensions, reply.dimensions}, scale);
  }
  if (batch) out.push_back(']');
  return out;
}

}  // namespace

Result<router::Input> sequence_of(std::string_view field, std::vector<std::string> texts) {
  if (texts.size() == 1) return router::Input(std::move(texts[0]));
  if (texts.size() == 2) return pair_of(std::move(texts[0]), std::move(texts[1]));
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} is a list of {} texts; a text, a pair [\"a\",\"b\"] or a batch "
                           "[[\"a\"],[\"b\"]] is expected",
                           field, texts.size()),
               std::string(field)};
}

core::RequestId tei_predict(const Call& call, Respond respond) {
  PredictBody body;
  if (auto refusal = read_body(call, body)) return refuse(call, *refusal, respond);
  return run_embed(
      call, std::move(body.score.request), Dialect::tei,
      [labels = std::move(body.labels), batch = body.batch,
       scale = body.scale](const router::EmbedReply& reply) {
        return write_predictions(labels, batch, scale, reply);
      },
      std::move(respond));
}

}  // namespace sheaf::api
