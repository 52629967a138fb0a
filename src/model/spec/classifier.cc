#include "model/spec/classifier.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
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
  Architecture architecture;
  std::string_view model_types;  // space-separated; empty: all others of the architecture
  Pooling pooling;
  std::string_view dense;  // empty: none
  DenseActivation activation;
  std::string_view norm;
  std::string_view labels;
};
constexpr std::array<Head, 12> kHeads = {{
    {Architecture::bert, "camembert roberta xlm-roberta", Pooling::cls, "classifier.dense",
     DenseActivation::tanh, "", "classifier.out_proj"},
    {Architecture::bert, "", Pooling::cls, "pooler.dense", DenseActivation::tanh, "", "classifier"},
    {Architecture::deberta, "", Pooling::cls, "pooler.dense", DenseActivation::gelu, "",
     "classifier"},
    {Architecture::distilbert, "", Pooling::cls, "pre_classifier", DenseActivation::relu, "",
     "classifier"},
    {Architecture::mpnet, "", Pooling::cls, "classifier.dense", DenseActivation::tanh, "",
     "classifier.out_proj"},
    {Architecture::modernbert, "", Pooling::cls, "head.dense", DenseActivation::gelu, "head.norm",
     "classifier"},
    {Architecture::gte, "", Pooling::cls, "pooler.dense", DenseActivation::tanh, "", "classifier"},
    {Architecture::jina_bert, "", Pooling::cls, "pooler.dense", DenseActivation::tanh, "",
     "classifier"},
    {Architecture::jina_code, "", Pooling::cls, "pooler.dense", DenseActivation::tanh, "",
     "classifier"},
    {Architecture::jina_flash, "", Pooling::cls, "classifier.dense", DenseActivation::tanh, "",
     "classifier.out_proj"},
    {Architecture::nomic, "", Pooling::cls, "pooler.dense", DenseActivation::tanh, "",
     "classifier"},
    {Architecture::decoder, "", Pooling::last_token, "", DenseActivation::none, "", "score"},
}};

bool has_word(std::string_view words, std::string_view word) {
  return fmt::format(" {} ", words).find(fmt::format(" {} ", word)) != std::string::npos;
}

const Head* head_of(const ModelSpec& spec) {
  const auto* head = std::ranges::find_if(kHeads, [&](const Head& row) {
    return row.architecture == spec.architecture &&
           (row.model_types.empty() || has_word(row.model_types, spec.model_type));
  });
  return head == kHeads.end() ? nullptr : head;
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
