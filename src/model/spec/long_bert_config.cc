#include "model/spec/long_bert_config.h"

#include <fmt/core.h>

#include "model/spec/config_parts.h"
#include "model/spec/limits.h"
#include "model/spec/rotary_config.h"

// What is absent from a file has the value that the family's own code would give it.
namespace sheaf::model {
namespace {

// Nomic's own code makes gated feed-forward parts and vocabularies no odd size.
std::uint32_t round_up(std::uint32_t n, std::uint32_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

Status read_epsilon(const JsonObject& config, std::string_view field, double otherwise,
                    ModelSpec& spec) {
  SHEAF_ASSIGN(const double epsilon, config.real_or(field, 0, 1, otherwise));
  spec.norm_epsilon = static_cast<float>(epsilon);
  return {};
}

Status check_turned_heads(const JsonObject& config, std::string_view field, const ModelSpec& spec) {
  if (spec.head_size % 2 == 0) return {};
  return config.error(field, "gives heads of odd size, which cannot be turned");
}

// What those with transformers' names share.
Status read_encoder(const JsonObject& config, double epsilon, ModelSpec& spec) {
  SHEAF_TRY(read_shape(config, {}, spec));
  return read_epsilon(config, "layer_norm_eps", epsilon, spec);
}

Status read_turned(const JsonObject& config, double theta, ModelSpec& spec) {
  SHEAF_TRY(check_turned_heads(config, "num_attention_heads", spec));
  SHEAF_ASSIGN(spec.rotary,
               read_rotary(config, {.scaling = "rope_scaling", .otherwise = theta}, spec));
  return {};
}

// Su, "Transformer upgrades 16" (2023), in its unmixed form, always on.
Status read_ntk(const JsonObject& config, RotarySpec& rotary) {
  SHEAF_ASSIGN(rotary.theta, config.real_or("rope_theta", 1, 1e12, 10'000));
  if (!config.has("rope_scaling")) return {};
  SHEAF_ASSIGN(const JsonObject scaling, config.object("rope_scaling"));
  SHEAF_ASSIGN(const std::string type, scaling.text("type"));
  if (type != "ntk") return scaling.unsupported("type", "is '" + type + "'; built are: ntk");
  if (scaling.has("mixed_b"))
    return scaling.unsupported("mixed_b", "is set; built is scaling without");
  SHEAF_ASSIGN(rotary.factor, scaling.real("factor", 1, 1e6));
  rotary.scaling = RotaryScaling::ntk;
  return {};
}

// "swiglu", "geglu" and "gelu" of nomic's own code.
Status read_nomic_activation(const JsonObject& config, ModelSpec& spec) {
  constexpr std::string_view kField = "activation_function";
  SHEAF_ASSIGN(const std::string name, config.text_or(kField, "gelu"));
  if (name != "swiglu" && name != "geglu" && name != "gelu")
    return config.unsupported(kField, "is '" + name + "'; built are: geglu, gelu, swiglu");
  spec.gated = name != "gelu";
  spec.activation = name == "swiglu" ? "silu" : "gelu";
  if (spec.gated) spec.intermediate_size = round_up(spec.intermediate_size, 256);
  return {};
}

// Longer texts than it was trained on are stretched if there is a factor.
Status read_nomic_rotary(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.rotary.theta, config.real_or("rotary_emb_base", 1, 1e12, 10'000));
  SHEAF_ASSIGN(spec.rotary.fraction, config.real_or("rotary_emb_fraction", 0, 1, 0));
  const double turned = spec.head_size * spec.rotary.fraction;
  if (turned < 2 || turned != 2.0 * static_cast<std::uint32_t>(turned / 2))
    return config.unsupported(
        "rotary_emb_fraction",
        fmt::format(
            "is {}, by which {} of a head's {} values turn; built is an even number of them",
            spec.rotary.fraction, turned, spec.head_size));
  for (const char* field : {"rotary_emb_interleaved", "rotary_head_dim"})
    SHEAF_TRY(want_off(config, field));
  if (config.has("rotary_emb_scale_base"))
    return config.unsupported("rotary_emb_scale_base", "is set; built are models without");
  SHEAF_ASSIGN(const double factor, config.real_or("rotary_scaling_factor", 0, 1e6, 0));
  if (factor == 0) return {};
  if (factor < 1 || turned < 4)
    return config.unsupported("rotary_scaling_factor",
                              fmt::format("is {} where {} values of a head turn; built are factors "
                                          "from 1 on where at least 4 do",
                                          factor, turned));
  spec.rotary.scaling = RotaryScaling::dynamic;
  spec.rotary.factor = factor;
  SHEAF_ASSIGN(spec.rotary.trained_positions,
               config.real_or("max_trained_positions", 1, kMaxPositions, 2048));
  return {};
}

Status read_nomic_experts(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.expert_every, config.number_or("moe_every_n_layers", 0, kMaxLayers, 0));
  if (spec.expert_every < 2) return {};  // no layer's index leaves a rest of 1
  SHEAF_ASSIGN(spec.experts, config.number("num_experts", 1, kMaxExperts));
  SHEAF_ASSIGN(spec.experts_chosen, config.number_or("moe_top_k", 1, spec.experts, 1));
  if (spec.gated)
    return config.unsupported("activation_function",
                              "gates experts; built are experts without gates");
  for (const char* field : {"moe_normalize_expert_weights", "expert_choice_router"})
    SHEAF_TRY(want_off(config, field));
  SHEAF_ASSIGN(const std::uint32_t shared, config.number_or("num_shared_experts", 0, 1000, 0));
  if (shared > 0)
    return config.unsupported("num_shared_experts", fmt::format("is {}; built is: 0", shared));
  return {};
}

// As the models' own code has it, in the words of GPT-2.
Status read_own_nomic(const JsonObject& config, ModelSpec& spec) {
  const ShapeFields fields = {.hidden = "n_embd",
                              .layers = "n_layer",
                              .heads = "n_head",
                              .intermediate = "n_inner",
                              .positions = "n_positions"};
  SHEAF_TRY(read_shape(config, fields, spec));
  SHEAF_TRY(read_epsilon(config, "layer_norm_epsilon", 1e-5, spec));
  for (const char* field : {"prenorm", "use_rms_norm", "causal", "parallel_block"})
    SHEAF_TRY(want_off(config, field));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 0, kMaxVocab, 2));
  SHEAF_ASSIGN(const std::uint32_t multiple,
               config.number_or("pad_vocab_size_multiple", 1, 65'536, 1));
  spec.vocab_size = round_up(spec.vocab_size, multiple);
  SHEAF_ASSIGN(spec.query_key_value_bias, config.boolean_or("qkv_proj_bias", true));
  spec.attention_output_bias = spec.query_key_value_bias;
  SHEAF_ASSIGN(spec.up_bias, config.boolean_or("mlp_fc1_bias", true));
  SHEAF_ASSIGN(spec.down_bias, config.boolean_or("mlp_fc2_bias", true));
  SHEAF_TRY(read_nomic_activation(config, spec));
  SHEAF_TRY(read_nomic_rotary(config, spec));
  return read_nomic_experts(config, spec);
}

Status read_gte_layers(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::gte;
  SHEAF_TRY(read_encoder(config, 1e-12, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 0, kMaxVocab, 1));
  spec.gated = spec.query_key_value_bias = spec.attention_output_bias = spec.down_bias = true;
  std::string only;
  SHEAF_TRY(want(config, "position_embedding_type", "rope", only));
  SHEAF_TRY(want(config, "layer_norm_type", "layer_norm", only));
  for (const char* field : {"logn_attention_scale", "logn_attention_clip1"})
    SHEAF_TRY(want_off(config, field));
  SHEAF_ASSIGN(const bool packed, config.boolean_or("pack_qkv", true));
  if (!packed) return config.unsupported("pack_qkv", "is false; built are models with one matrix");
  return want(config, "hidden_act", "gelu", spec.activation);
}

Status read_jina_layers(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::jina_flash;
  SHEAF_TRY(read_encoder(config, 1e-5, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 1, kMaxVocab, 1));
  spec.query_key_value_bias = spec.attention_output_bias = true;
  spec.up_bias = spec.down_bias = true;
  return want(config, "hidden_act", "gelu", spec.activation);
}

}  // namespace

// Nussbaum et al., "Nomic Embed" (2024).
Status read_nomic(const JsonObject& config, ModelSpec& spec) {
  spec.architecture = Architecture::nomic;
  if (config.has("n_embd")) return read_own_nomic(config, spec);
  SHEAF_TRY(read_encoder(config, 1e-12, spec));
  SHEAF_TRY(read_turned(config, 1000, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 1, kMaxVocab, 2));
  spec.gated = true;
  return want(config, "hidden_act", "silu", spec.activation);
}

// Zhang et al., "mGTE" (2024). Its own code ("new") scales by NTK alone and takes another theta
// where none is given than transformers' ("gte"), whose files with that scaling are of the former
// too.
Status read_gte(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_gte_layers(config, spec));
  const nlohmann::json* scaling = config.find("rope_scaling");
  const bool by_ntk = scaling != nullptr && scaling->is_object() &&
                      scaling->value("type", nlohmann::json()) == "ntk";
  const bool own_code = spec.model_type == "new" || by_ntk;
  if (config.has("rope_parameters") || !own_code) return read_turned(config, 160'000, spec);
  SHEAF_TRY(check_turned_heads(config, "num_attention_heads", spec));
  return read_ntk(config, spec.rotary);
}

// Günther et al., "Jina Embeddings 2" (2023): BERT's model_type. Those for programs' text have code
// of their own, which normalizes queries and keys.
Status read_jina_bert(const JsonObject& config, ModelSpec& spec) {
  const bool code = maps_to_code(config, "qk-post-norm");
  spec.architecture = code ? Architecture::jina_code : Architecture::jina_bert;
  SHEAF_TRY(read_encoder(config, 1e-12, spec));
  SHEAF_ASSIGN(spec.type_vocab_size, config.number_or("type_vocab_size", 1, kMaxVocab, 2));
  spec.linear_distance = true;
  spec.gated = spec.query_key_value_bias = spec.attention_output_bias = spec.down_bias = true;
  constexpr std::string_view kForm = "feed_forward_type";
  SHEAF_ASSIGN(const std::string form, config.text_or(kForm, code ? "geglu" : "original"));
  if (form != "geglu" && form != "reglu")
    return config.unsupported(kForm, "is '" + form + "'; built are: geglu, reglu");
  spec.activation = form == "geglu" ? "gelu" : "relu";
  return {};
}

// Sturua et al., "jina-embeddings-v3" (2024), as transformers has it.
Status read_jina_v3(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_jina_layers(config, spec));
  spec.adapters = true;  // in files of their own
  return read_turned(config, 20'000, spec);
}

// Jina's own XLM-R: of jina-embeddings-v3, and with XLM-R's own positions of jina-reranker-v2.
Status read_jina_flash(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_jina_layers(config, spec));
  const nlohmann::json* tasks = config.find("lora_adaptations");
  spec.adapters = tasks != nullptr && !tasks->empty();
  constexpr std::string_view kPositions = "position_embedding_type";
  SHEAF_ASSIGN(const std::string positions, config.text_or(kPositions, "absolute"));
  if (positions == "absolute") {
    SHEAF_ASSIGN(const std::uint32_t pad, config.number_or("pad_token_id", 0, kMaxPositions, 1));
    return offset_positions(config, pad, spec);
  }
  if (positions != "rotary")
    return config.unsupported(kPositions, "is '" + positions + "'; built are: absolute, rotary");
  SHEAF_TRY(check_turned_heads(config, "num_attention_heads", spec));
  SHEAF_ASSIGN(spec.rotary.theta, config.real_or("rotary_emb_base", 1, 1e12, 10'000));
  return {};
}

}  // namespace sheaf::model
