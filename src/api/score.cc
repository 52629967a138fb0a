#include "api/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/json_out.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

bool fits(const model::ModelSpec& spec, ScoreKind kind) {
  return kind == ScoreKind::reranker ? spec.is_reranker() : spec.task() == model::Task::classify;
}

std::vector<Ranked> rank(std::span<const float> raw_scores, std::span<const float> scores) {
  std::vector<Ranked> ranked;
  ranked.reserve(scores.size());
  for (const std::uint32_t i : ranking(raw_scores)) ranked.push_back({i, scores[i]});
  return ranked;
}

}  // namespace

Result<ScoreBody> begin_score(const Call& call) {
  ScoreBody body;
  SHEAF_ASSIGN(body.request, begin_embed(call));
  body.request.task = model::Task::classify;
  return body;
}

Status read_score_option(std::string_view key, JsonValue value, ScoreBody& body) {
  if (key == "model") {
    SHEAF_ASSIGN(body.model, read_text(key, value));
  } else if (key == "raw_scores") {
    SHEAF_ASSIGN(body.raw, read_bool(key, value));
    return agree(body.said_raw, key, value, body.raw);
  } else if (key == "use_activation" || key == "activation") {
    SHEAF_ASSIGN(const bool activated, read_bool(key, value));
    body.raw = !activated;
    return agree(body.said_raw, key, value, body.raw);
  } else if (key == "truncate") {
    SHEAF_ASSIGN(body.request.truncate, read_bool(key, value));
    return agree(body.said_truncate, key, value, body.request.truncate);
  } else if (key == "truncation_direction" || key == "truncation_side") {
    SHEAF_ASSIGN(body.request.truncation_side, read_side(key, value));
    return agree(body.said_side, key, value, *body.request.truncation_side);
  } else if (key == "truncate_prompt_tokens") {
    SHEAF_ASSIGN(body.request.max_tokens, read_token_limit(key, value));
    body.request.truncate = true;
    return agree(body.said_truncate, key, value, true);
  } else if (key == "max_tokens_per_doc") {
    SHEAF_ASSIGN(body.request.max_second_tokens, read_token_limit(key, value));
  } else if (key == "instruction" || key == "instruct") {
    SHEAF_ASSIGN(const std::string_view instruction, read_text(key, value));
    body.request.instruction = instruction;
    return agree(body.said_instruction, key, value, instruction);
  } else if (key == "prompt_name") {
    SHEAF_ASSIGN(body.request.prompt_name, read_text(key, value));
  }
  return {};  // unknown fields are ignored: clients send many
}

Result<std::string> read_passage(std::string_view field, JsonValue value) {
  if (value.is_object()) {
    JsonValue text;
    if (value["text"].get(text))
      return wrong(field, fmt::format("{} has no \"text\"; this model reads texts", field));
    SHEAF_ASSIGN(const std::string_view passage, read_text(fmt::format("{}.text", field), text));
    return std::string(passage);
  }
  SHEAF_ASSIGN(const std::string_view passage, read_text(field, value));
  return std::string(passage);
}

Result<std::vector<std::string>> read_passages(const Context& context, std::string_view field,
                                               JsonValue value) {
  std::vector<std::string> passages;
  simdjson::dom::array list;
  if (value.get(list)) {
    SHEAF_ASSIGN(passages.emplace_back(), read_passage(field, value));
    return passages;
  }
  SHEAF_TRY(check_text_count(context, field, list.size()));
  passages.reserve(list.size());
  for (const JsonValue item : list) {
    SHEAF_ASSIGN(std::string passage,
                 read_passage(fmt::format("{}[{}]", field, passages.size()), item));
    passages.push_back(std::move(passage));
  }
  return passages;
}

Status check_text_count(const Context& context, std::string_view field, std::size_t count) {
  const std::size_t most = context.router.options().max_texts;
  if (count <= most) return {};
  return Error{ErrorCode::too_large,
               fmt::format("{} holds {} texts; a request may hold {}", field, count, most),
               std::string(field)};
}

void append_pairs(std::vector<std::string> firsts, std::vector<std::string> seconds,
                  std::vector<router::Input>& pairs) {
  const bool one_first = firsts.size() == 1;
  std::shared_ptr<const std::string> first;
  pairs.reserve(pairs.size() + seconds.size());
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (i == 0 || !one_first) first = std::make_shared<const std::string>(std::move(firsts[i]));
    pairs.emplace_back(router::TextPair{first, std::move(seconds[i])});
  }
}

Result<const router::ModelInfo*> find_scorer(const Context& context, std::string_view name,
                                             ScoreKind kind) {
  if (name.empty()) {
    const std::vector<const router::ModelInfo*> models = context.router.models();
    for (const bool exactly : {true, false})
      for (const router::ModelInfo* model : models)
        if (fits(model->spec, kind) &&
            (!exactly || model->spec.is_reranker() == (kind == ScoreKind::reranker)))
          return model;
  }
  SHEAF_ASSIGN(const router::ModelInfo* model, context.router.find_model(name));
  SHEAF_TRY(check_scorer(*model, kind));
  return model;
}

Status check_scorer(const router::ModelInfo& model, ScoreKind kind) {
  if (fits(model.spec, kind)) return {};
  std::string is = model.spec.is_splade() ? "weighs words (/embed_sparse)"
                                          : "embeds texts (/v1/embeddings, /embed)";
  if (model.spec.task() == model::Task::classify)
    is = fmt::format("is a classifier with {} labels (/predict, /classify)",
                     model.spec.labels.size());
  const std::string assumed =
      model.spec.assumed.empty() ? "" : fmt::format(" (taken for {})", model.spec.assumed);
  return Error{ErrorCode::wrong_model_type,
               fmt::format("model {} {}; {}{}", model.name, is,
                           kind == ScoreKind::reranker
                               ? "ranking needs a reranker (a classifier with 1 label)"
                               : "classifying needs a classifier or a reranker",
                           assumed),
               "model"};
}

Result<const router::ModelInfo*> choose_model(const Call& call, ScoreKind kind, ScoreBody& body) {
  SHEAF_ASSIGN(const router::ModelInfo* model,
               find_scorer(call.context, model_of(call, body.model), kind));
  body.request.model = model->name;
  return model;
}

float sigmoid(float score) { return float(1 / (1 + std::exp(-double(score)))); }

LabelScale label_scale(const model::ModelSpec& spec, bool raw) {
  if (raw) return LabelScale::raw;
  return spec.independent_labels || spec.labels.size() == 1 ? LabelScale::sigmoid
                                                            : LabelScale::softmax;
}

void scale_labels(std::span<float> scores, LabelScale scale) {
  if (scale == LabelScale::sigmoid) std::ranges::transform(scores, scores.begin(), sigmoid);
  if (scale != LabelScale::softmax || scores.empty()) return;
  const double highest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const float score : scores) sum += std::exp(score - highest);
  for (float& score : scores) score = float(std::exp(score - highest) / sum);
}

std::vector<float> document_scores(std::span<const float> raw_scores, bool raw) {
  std::vector<float> scores(raw_scores.begin(), raw_scores.end());
  if (!raw) std::transform(scores.begin(), scores.end(), scores.begin(), sigmoid);
  return scores;
}

std::vector<std::uint32_t> ranking(std::span<const float> scores) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    if (std::isnan(scores[a])) return false;
    return std::isnan(scores[b]) || scores[a] > scores[b];
  });
  return order;
}

std::vector<Ranked> rank_documents(std::span<const float> raw_scores, bool raw) {
  return rank(raw_scores, document_scores(raw_scores, raw));
}

std::vector<Ranked> rank_labels(std::span<const float> raw_scores, LabelScale scale) {
  std::vector<float> scores(raw_scores.begin(), raw_scores.end());
  scale_labels(scores, scale);
  return rank(raw_scores, scores);
}

void append_label_scores(std::string& out, const std::vector<std::string>& labels,
                         std::span<const float> raw_scores, LabelScale scale) {
  out.push_back('[');
  const char* comma = "";
  for (const Ranked& label : rank_labels(raw_scores, scale)) {
    out.append(std::exchange(comma, ",")).append("{\"score\":");
    append_number(out, label.score);
    out.append(",\"label\":");
    append_json_quoted(out, labels[label.index]);
    out.push_back('}');
  }
  out.push_back(']');
}

}  // namespace sheaf::api
