#include "model/spec/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

Status set_heads(const JsonObject& config, std::string_view field, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.heads, config.number(field, 1, spec.hidden_size));
  if (spec.hidden_size % spec.heads != 0)
    return config.error(field, fmt::format("is {}, which does not divide the hidden size {}",
                                           spec.heads, spec.hidden_size));
  spec.head_size = spec.hidden_size / spec.heads;
  return {};
}

Status want(const JsonObject& config, std::string_view field, const std::string& built,
            std::string& value) {
  SHEAF_ASSIGN(value, config.text_or(field, built));
  if (value == built) return {};
  return config.unsupported(field, "is '" + value + "'; built are: " + built);
}

// What the configurations of BERT and its nearer relatives share.
Status read_encoder(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.hidden_size, config.number("hidden_size", 1, kMaxHidden));
  SHEAF_ASSIGN(spec.layers, config.number("num_hidden_layers", 1, kMaxLayers));
  SHEAF_TRY(set_heads(config, "num_attention_heads", spec));
  SHEAF_ASSIGN(spec.intermediate_size, config.number("intermediate_size", 1, kMaxIntermediate));
  SHEAF_ASSIGN(spec.vocab_size, config.number("vocab_size", 1, kMaxVocab));
  SHEAF_ASSIGN(spec.positions, config.number("max_position_embeddings", 1, kMaxPositions));
  SHEAF_ASSIGN(const double epsilon, config.real_or("layer_norm_eps", 0, 1, 1e-12));
  spec.norm_epsilon = static_cast<float>(epsilon);
  return want(config, "hidden_act", "gelu", spec.activation);
}

// BERT as the paper has it.
Status read_bert(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::bert;
  SHEAF_TRY(read_encoder(config, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 1, kMaxVocab, 2));
  std::string positions;
  SHEAF_TRY(want(config, "position_embedding_type", "absolute", positions));
  SHEAF_ASSIGN(const bool decoder, config.boolean_or("is_decoder", false));
  if (decoder) return config.unsupported("is_decoder", "is true; built are encoders");
  return {};
}

// Positions count from behind the padding token's id.
Status offset_positions(const JsonObject& config, std::uint32_t pad, ModelSpec& spec) {
  spec.position_offset = pad + 1;
  if (spec.position_offset >= spec.positions)
    return config.error("max_position_embeddings",
                        fmt::format("is {}, none of which is behind the padding token's id {}",
                                    spec.positions, pad));
  spec.positions -= spec.position_offset;
  return {};
}

// RoBERTa and its children: BERT with other positions.
Status read_roberta(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_bert(config, spec));
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
  SHEAF_ASSIGN(spec.hidden_size, config.number("dim", 1, kMaxHidden));
  SHEAF_ASSIGN(spec.layers, config.number("n_layers", 1, kMaxLayers));
  SHEAF_TRY(set_heads(config, "n_heads", spec));
  SHEAF_ASSIGN(spec.intermediate_size, config.number("hidden_dim", 1, kMaxIntermediate));
  SHEAF_ASSIGN(spec.vocab_size, config.number("vocab_size", 1, kMaxVocab));
  SHEAF_ASSIGN(spec.positions, config.number("max_position_embeddings", 1, kMaxPositions));
  spec.norm_epsilon = 1e-12f;  // not configurable there
  return want(config, "activation", "gelu", spec.activation);
}

// A rotary base: a number of its own or, in newer files, part of rope_parameters.
Result<double> read_theta(const JsonObject& config, const char* kind, const char* old_field,
                          double otherwise) {
  const nlohmann::json* nested = config.find("rope_parameters");
  if (nested == nullptr || !nested->is_object() || !nested->contains(kind))
    return config.real_or(old_field, 1, 1e12, otherwise);
  SHEAF_ASSIGN(const JsonObject rope, JsonObject::of((*nested)[kind], "config.json",
                                                     std::string("rope_parameters.") + kind + "."));
  std::string type;
  SHEAF_TRY(want(rope, "rope_type", "default", type));
  return rope.real_or("rope_theta", 1, 1e12, otherwise);
}

// Warner et al., "ModernBERT" (2024).
Status read_modernbert(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::modernbert;
  SHEAF_ASSIGN(spec.hidden_size, config.number("hidden_size", 1, kMaxHidden));
  SHEAF_ASSIGN(spec.layers, config.number("num_hidden_layers", 1, kMaxLayers));
  SHEAF_TRY(set_heads(config, "num_attention_heads", spec));
  if (spec.head_size % 2 != 0)
    return config.error("num_attention_heads", "gives heads of odd size, which cannot be turned");
  SHEAF_ASSIGN(spec.intermediate_size, config.number("intermediate_size", 1, kMaxIntermediate));
  SHEAF_ASSIGN(spec.vocab_size, config.number("vocab_size", 1, kMaxVocab));
  SHEAF_ASSIGN(spec.positions, config.number("max_position_embeddings", 1, kMaxPositions));
  SHEAF_ASSIGN(const double epsilon, config.real_or("norm_eps", 0, 1, 1e-5));
  spec.norm_epsilon = static_cast<float>(epsilon);
  SHEAF_TRY(want(config, "hidden_activation", "gelu", spec.activation));
  for (const char* field : {"norm_bias", "attention_bias", "mlp_bias"}) {
    SHEAF_ASSIGN(const bool used, config.boolean_or(field, false));
    if (used) return config.unsupported(field, "is true; built are models without");
  }
  SHEAF_ASSIGN(spec.local_window, config.number_or("local_attention", 2, kMaxPositions, 128));
  SHEAF_ASSIGN(spec.global_every, config.number_or("global_attn_every_n_layers", 1, kMaxLayers, 3));
  SHEAF_ASSIGN(spec.rotary_theta,
               read_theta(config, "full_attention", "global_rope_theta", 160'000));
  SHEAF_ASSIGN(spec.local_rotary_theta,
               read_theta(config, "sliding_attention", "local_rope_theta", 10'000));
  return {};
}

struct Family {
  std::string_view model_type;
  Status (*read)(const JsonObject&, ModelSpec&);
};
constexpr std::array<Family, 7> kFamilies = {{{"bert", read_bert},
                                              {"camembert", read_roberta},
                                              {"distilbert", read_distilbert},
                                              {"modernbert", read_modernbert},
                                              {"mpnet", read_mpnet},
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
