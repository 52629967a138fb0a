#include "model/spec/classifier.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/spec/config_parts.h"
#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr std::uint32_t kMaxLabels = 10'000;

// A head: perhaps a dense layer as wide as the model, then one output a label.
struct Head {
  Pooling pooling = Pooling::cls;
  std::string_view dense;  // empty: none
  DenseActivation activation = DenseActivation::tanh;
  std::string_view norm;
  std::string_view labels = "classifier";
};
constexpr Head kBehindPooler = {.dense = "pooler.dense"};
constexpr Head kOwnDense = {.dense = "classifier.dense", .labels = "classifier.out_proj"};
constexpr Head kDeberta = {.dense = "pooler.dense", .activation = DenseActivation::gelu};
constexpr Head kDistilBert = {.dense = "pre_classifier", .activation = DenseActivation::relu};
constexpr Head kModernBert = {
    .dense = "head.dense", .activation = DenseActivation::gelu, .norm = "head.norm"};
constexpr Head kDecoder = {.pooling = Pooling::last_token, .labels = "score"};

// Null if the architecture has none.
const Head* head_of(const ModelSpec& spec) {
  switch (spec.architecture) {
    case Architecture::bert:  // and RoBERTa's kin
      return spec.model_type == "bert" ? &kBehindPooler : &kOwnDense;
    case Architecture::gte:
    case Architecture::jina_bert:
    case Architecture::jina_code:
    case Architecture::nomic:
      return &kBehindPooler;
    case Architecture::jina_flash:
    case Architecture::mpnet:
      return &kOwnDense;
    case Architecture::deberta:
      return &kDeberta;
    case Architecture::distilbert:
      return &kDistilBert;
    case Architecture::modernbert:
      return &kModernBert;
    case Architecture::decoder:
      return &kDecoder;
    case Architecture::gemma3:
      break;
  }
  return nullptr;
}

Result<bool> is_classifier(const JsonObject& config) {
  const json* names = config.find("architectures");
  if (names == nullptr) return false;
  if (!names->is_array() || names->empty()) return false;
  if (!names->front().is_string()) return config.error("architectures", "holds no name");
  return names->front().get_ref<const std::string&>().ends_with("ForSequenceClassification");
}

// {"0": "LABEL_0", ...}; without it transformers makes two labels of that form.
Status read_labels(const JsonObject& config, ModelSpec& spec) {
  const json* names = config.find("id2label");
  const auto count = names == nullptr ? 2U : static_cast<std::uint32_t>(names->size());
  SHEAF_ASSIGN(const std::uint32_t labels, config.number_or("num_labels", 1, kMaxLabels, count));
  if (names != nullptr && (!names->is_object() || labels != count || count > kMaxLabels))
    return config.error("id2label", fmt::format("is no object of 1 to {} names", kMaxLabels));
  for (std::uint32_t i = 0; i < labels; ++i) {
    const std::string key = std::to_string(i);
    if (names == nullptr) {
      spec.labels.push_back("LABEL_" + key);
      continue;
    }
    const auto name = names->find(key);
    if (name == names->end() || !name->is_string())
      return config.error("id2label", fmt::format("has {} entries, but no name for {}", labels, i));
    spec.labels.push_back(*name);
  }
  return {};
}

// The name that sentence-transformers has for it before and since its version 4.
Status read_score_activation(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.score_activation, config.text_or("sbert_ce_default_activation_function", ""));
  if (!config.has("sentence_transformers")) return {};
  SHEAF_ASSIGN(const JsonObject own, config.object("sentence_transformers"));
  SHEAF_ASSIGN(spec.score_activation, own.text_or("activation_fn", spec.score_activation));
  return {};
}

// ModernBERT's head can be configured.
Status read_modernbert_head(const JsonObject& config, ModelSpec& spec, DenseSpec& dense) {
  std::string activation;
  SHEAF_TRY(want(config, "classifier_activation", "gelu", activation));
  SHEAF_ASSIGN(dense.bias, config.boolean_or("classifier_bias", false));
  SHEAF_ASSIGN(const std::string pooling, config.text_or("classifier_pooling", "cls"));
  if (pooling != "cls" && pooling != "mean")
    return config.unsupported("classifier_pooling", "is '" + pooling + "'; built are: cls, mean");
  if (pooling == "mean") spec.pooling = {Pooling::mean};
  return {};
}

// DeBERTa's too.
Status read_deberta_head(const JsonObject& config, const ModelSpec& spec, DenseSpec& dense) {
  constexpr std::pair<std::string_view, DenseActivation> kActivations[] = {
      {"gelu", DenseActivation::gelu},
      {"relu", DenseActivation::relu},
      {"silu", DenseActivation::silu},
      {"tanh", DenseActivation::tanh}};
  SHEAF_TRY(want_number(config, "pooler_hidden_size", spec.hidden_size));
  constexpr std::string_view kField = "pooler_hidden_act";
  SHEAF_ASSIGN(const std::string name, config.text_or(kField, "gelu"));
  const auto* found =
      std::ranges::find(kActivations, name, [](const auto& row) { return row.first; });
  if (found == std::end(kActivations))
    return config.unsupported(kField, "is '" + name + "'; built are: gelu, relu, silu, tanh");
  dense.activation = found->second;
  return {};
}

}  // namespace

Status read_classifier(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(const bool classifier, is_classifier(config));
  if (!classifier) return {};
  const Head* head = head_of(spec);
  if (head == nullptr)
    return config.unsupported("architectures",
                              "is a classifier; of " + spec.model_type + " built are embedders");
  SHEAF_TRY(read_labels(config, spec));
  SHEAF_TRY(read_score_activation(config, spec));
  SHEAF_ASSIGN(const std::string problem, config.text_or("problem_type", ""));
  spec.independent_labels = problem == "multi_label_classification";
  spec.pooling = {head->pooling};
  if (!head->dense.empty()) {
    DenseSpec dense{.folder = "",
                    .name = std::string(head->dense),
                    .norm = std::string(head->norm),
                    .inputs = spec.hidden_size,
                    .outputs = spec.hidden_size,
                    .bias = true,
                    .activation = head->activation};
    if (spec.architecture == Architecture::modernbert)
      SHEAF_TRY(read_modernbert_head(config, spec, dense));
    if (spec.architecture == Architecture::deberta)
      SHEAF_TRY(read_deberta_head(config, spec, dense));
    spec.dense.push_back(std::move(dense));
  }
  spec.dimensions = static_cast<std::uint32_t>(spec.labels.size());
  spec.dense.push_back({.folder = "",
                        .name = std::string(head->labels),
                        .norm = "",
                        .inputs = spec.hidden_size,
                        .outputs = spec.dimensions,
                        .bias = spec.architecture != Architecture::decoder,
                        .activation = DenseActivation::none});
  return {};
}

}  // namespace sheaf::model
