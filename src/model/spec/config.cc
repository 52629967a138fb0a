#include "model/spec/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "model/spec/config_parts.h"
#include "model/spec/decoder_config.h"
#include "model/spec/limits.h"
#include "model/spec/long_bert_config.h"
#include "model/spec/rotary_config.h"

namespace sheaf::model {
namespace {

// What the configurations of BERT and its nearer relatives share.
Status read_encoder(const JsonObject& config, ModelSpec& spec, double epsilon_otherwise = 1e-12) {
  SHEAF_TRY(read_shape(config, {}, spec));
  SHEAF_ASSIGN(const double epsilon, config.real_or("layer_norm_eps", 0, 1, epsilon_otherwise));
  spec.norm_epsilon = static_cast<float>(epsilon);
  return want(config, "hidden_act", "gelu", spec.activation);
}

// BERT as the paper has it.
Status read_paper_bert(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::bert;
  SHEAF_TRY(read_encoder(config, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 1, kMaxVocab, 2));
  std::string positions;
  SHEAF_TRY(want(config, "position_embedding_type", "absolute", positions));
  SHEAF_ASSIGN(const bool decoder, config.boolean_or("is_decoder", false));
  if (decoder) return config.unsupported("is_decoder", "is true; built are encoders");
  return {};
}

// By its positions alone JinaBERT can be told.
Status read_bert(const JsonObject& config, ModelSpec& spec) {
  const nlohmann::json* positions = config.find("position_embedding_type");
  const bool jina = positions != nullptr && *positions == "alibi";
  return jina ? read_jina_bert(config, spec) : read_paper_bert(config, spec);
}

// RoBERTa and its children: BERT with other positions.
Status read_roberta(const JsonObject& config, ModelSpec& spec) {
  if (maps_to_code(config, "XLMRobertaFlash")) return read_jina_flash(config, spec);
  SHEAF_TRY(read_paper_bert(config, spec));
  SHEAF_ASSIGN(const std::uint32_t pad, config.number_or("pad_token_id", 0, kMaxPositions, 1));
  return offset_positions(config, pad, spec);
}

// Song et al., "MPNet" (2020): a bias by distance, no token types; the padding id is fixed there.
Status read_mpnet(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::mpnet;
  SHEAF_TRY(read_encoder(config, spec));
  constexpr std::string_view kBuckets = "relative_attention_num_buckets";
  SHEAF_ASSIGN(spec.distance_buckets, config.number_or(kBuckets, 1, kMaxVocab, kDistanceBuckets));
  if (spec.distance_buckets != kDistanceBuckets)
    return config.unsupported(
        kBuckets, fmt::format("is {}; built are: {}", spec.distance_buckets, kDistanceBuckets));
  return offset_positions(config, 1, spec);
}

// Sanh et al., "DistilBERT" (2019): BERT without token types, under other names.
Status read_distilbert(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::distilbert;
  const ShapeFields fields = {
      .hidden = "dim", .layers = "n_layers", .heads = "n_heads", .intermediate = "hidden_dim"};
  SHEAF_TRY(read_shape(config, fields, spec));
  spec.norm_epsilon = 1e-12f;  // not configurable there
  return want(config, "activation", "gelu", spec.activation);
}

// Warner et al., "ModernBERT" (2024).
Status read_modernbert(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::modernbert;
  SHEAF_TRY(read_shape(config, {}, spec));
  if (spec.head_size % 2 != 0)
    return config.error("num_attention_heads", "gives heads of odd size, which cannot be turned");
  SHEAF_ASSIGN(const double epsilon, config.real_or("norm_eps", 0, 1, 1e-5));
  spec.norm_epsilon = static_cast<float>(epsilon);
  SHEAF_TRY(want(config, "hidden_activation", "gelu", spec.activation));
  for (const char* field : {"norm_bias", "attention_bias", "mlp_bias"})
    SHEAF_TRY(want_off(config, field));
  SHEAF_ASSIGN(const std::uint32_t window,
               config.number_or("local_attention", 2, kMaxPositions, 128));
  spec.local_before = spec.local_after = window / 2;
  SHEAF_ASSIGN(const std::uint32_t global_every,
               config.number_or("global_attn_every_n_layers", 1, kMaxLayers, 3));
  SHEAF_TRY(read_local_layers(
      config, [=](std::uint32_t i) { return i % global_every != 0; }, spec));
  const RotaryFields fields = {
      .theta = "global_rope_theta", .scaling = "rope_scaling", .otherwise = 160'000};
  const RotaryFields local_fields = {
      .kind = "sliding_attention", .theta = "local_rope_theta", .scaling = "rope_scaling"};
  SHEAF_ASSIGN(spec.rotary, read_rotary(config, fields, spec));
  SHEAF_ASSIGN(spec.local_rotary, read_rotary(config, local_fields, spec));
  return {};
}

// He et al., "DeBERTa" (2021), and DeBERTaV3: BERT whose attention looks at distances.
Status read_deberta(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::deberta;
  SHEAF_TRY(read_encoder(config, spec, 1e-7));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 0, kMaxVocab, 0));
  SHEAF_ASSIGN(spec.position_table, config.boolean_or("position_biased_input", true));
  SHEAF_TRY(want_number(config, "embedding_size", spec.hidden_size));
  SHEAF_TRY(want_number(config, "attention_head_size", spec.head_size));
  SHEAF_TRY(want_number(config, "conv_kernel_size", 0));
  return read_relative(config, spec);
}

struct Family {
  std::string_view model_type;
  Status (*read)(const JsonObject&, ModelSpec&);
};
constexpr std::array<Family, 18> kFamilies = {{{"bert", read_bert},
                                               {"camembert", read_roberta},
                                               {"deberta-v2", read_deberta},
                                               {"distilbert", read_distilbert},
                                               {"gemma3_text", read_gemma3},
                                               {"gte", read_gte},
                                               {"jina_embeddings_v3", read_jina_v3},
                                               {"llama", read_llama},
                                               {"mistral", read_mistral},
                                               {"modernbert", read_modernbert},
                                               {"mpnet", read_mpnet},
                                               {"new", read_gte},
                                               {"nomic_bert", read_nomic},
                                               {"phi3", read_phi3},
                                               {"qwen2", read_qwen2},
                                               {"qwen3", read_qwen3},
                                               {"roberta", read_roberta},
                                               {"xlm-roberta", read_roberta}}};

}  // namespace

Status read_config(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.model_type, config.text("model_type"));
  const auto* family = std::ranges::find(kFamilies, spec.model_type, &Family::model_type);
  if (family != kFamilies.end()) return family->read(config, spec);
  std::string built;
  for (const Family& row : kFamilies)
    built.append(built.empty() ? "" : ", ").append(row.model_type);
  return config.unsupported("model_type", "is '" + spec.model_type + "'; built are: " + built);
}

}  // namespace sheaf::model
