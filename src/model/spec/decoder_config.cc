#include "model/spec/decoder_config.h"

#include <fmt/core.h>

#include "model/spec/config_parts.h"
#include "model/spec/limits.h"
#include "model/spec/rotary_config.h"

// What is absent from a file has the value that transformers would give it.
namespace sheaf::model {
namespace {

constexpr std::uint32_t kDefaultWindow = 4096;

// What a file leaves out that the families fill differently.
struct Defaults {
  std::uint32_t head_size = 0;  // 0: hidden / heads
  std::uint32_t kv_heads = 0;   // 0: as many as heads
  double epsilon = 1e-6;
  bool causal = true;
};

Status read_heads(const JsonObject& config, std::uint32_t otherwise, ModelSpec& spec) {
  constexpr std::string_view kField = "num_key_value_heads";
  SHEAF_ASSIGN(spec.kv_heads, config.number_or(kField, 1, spec.heads, otherwise));
  if (spec.heads % spec.kv_heads != 0)
    return config.error(kField, fmt::format("is {}, which does not divide the {} attention heads",
                                            spec.kv_heads, spec.heads));
  if (spec.head_size % 2 != 0)
    return config.error("head_dim",
                        fmt::format("is {}; heads of odd size cannot be turned", spec.head_size));
  return {};
}

// What all of them share.
Status read_decoder(const JsonObject& config, ModelSpec& spec, const Defaults& defaults = {}) {
  spec.architecture = Architecture::decoder;
  SHEAF_TRY(read_shape(config, {.head_size = "head_dim", .head_size_otherwise = defaults.head_size},
                       spec));
  SHEAF_TRY(read_heads(config, defaults.kv_heads > 0 ? defaults.kv_heads : spec.heads, spec));
  SHEAF_ASSIGN(const double epsilon, config.real_or("rms_norm_eps", 0, 1, defaults.epsilon));
  spec.norm_epsilon = static_cast<float>(epsilon);
  return {};
}

// What all but Gemma share.
Status read_causal_decoder(const JsonObject& config, ModelSpec& spec,
                           const Defaults& defaults = {}) {
  SHEAF_TRY(read_decoder(config, spec, defaults));
  SHEAF_ASSIGN(spec.causal, config.boolean_or("is_causal", defaults.causal));
  const bool phi3 = spec.model_type == "phi3";
  SHEAF_ASSIGN(spec.rotary, read_rotary(config, {.scaling = "rope_scaling", .phi3 = phi3}, spec));
  spec.local_rotary = spec.rotary;
  return want(config, "hidden_act", "silu", spec.activation);
}

Status read_attention_bias(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(const bool biased, config.boolean_or("attention_bias", false));
  spec.query_key_value_bias = spec.attention_output_bias = biased;
  return {};
}

// A causal window counts the token itself, one to both sides does not.
Status read_window(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(const std::uint32_t window,
               config.number_or("sliding_window", 1, kMaxPositions, kDefaultWindow));
  spec.local_before = spec.causal ? window - 1 : window;
  spec.local_after = spec.causal ? 0 : window;
  return {};
}

// Of Qwen the upper layers may see a window.
Status read_qwen_window(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(const bool used, config.boolean_or("use_sliding_window", false));
  if (!used || config.is_null("sliding_window")) return {};
  SHEAF_ASSIGN(const std::uint32_t first, config.number_or("max_window_layers", 0, kMaxLayers, 28));
  SHEAF_TRY(read_local_layers(
      config, [=](std::uint32_t i) { return i >= first; }, spec));
  return read_window(config, spec);
}

}  // namespace

// Gemma Team, "Gemma 3 Technical Report" (2025); EmbeddingGemma sees the whole text, and in local
// layers half a window to each side.
Status read_gemma3(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_decoder(config, spec, {.head_size = 256, .kv_heads = 4}));
  spec.architecture = Architecture::gemma3;
  spec.head_norms = true;
  SHEAF_TRY(read_attention_bias(config, spec));
  SHEAF_TRY(want(config, "hidden_activation", "gelu_pytorch_tanh", spec.activation));
  if (config.has("attn_logit_softcapping"))
    return config.unsupported("attn_logit_softcapping", "is set; built are models without");
  SHEAF_ASSIGN(spec.query_scalar, config.real_or("query_pre_attn_scalar", 1e-3, 1e6, 256));
  SHEAF_ASSIGN(const bool bidirectional, config.boolean_or("use_bidirectional_attention", false));
  spec.causal = !bidirectional;
  SHEAF_ASSIGN(const std::uint32_t window,
               config.number_or("sliding_window", 1, kMaxPositions, kDefaultWindow));
  spec.local_before = spec.causal ? window - 1 : window / 2;
  spec.local_after = spec.causal ? 0 : window / 2;
  SHEAF_ASSIGN(const std::uint32_t every,
               config.number_or("sliding_window_pattern", 1, kMaxLayers, 6));
  SHEAF_TRY(read_local_layers(
      config, [=](std::uint32_t i) { return (i + 1) % every != 0; }, spec));
  const RotaryFields fields = {.scaling = "rope_scaling", .otherwise = 1'000'000};
  const RotaryFields local_fields = {.kind = "sliding_attention", .theta = "rope_local_base_freq"};
  SHEAF_ASSIGN(spec.rotary, read_rotary(config, fields, spec));
  SHEAF_ASSIGN(spec.local_rotary, read_rotary(config, local_fields, spec));
  return {};
}

// Touvron et al., "LLaMA" (2023), and its successors.
Status read_llama(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_causal_decoder(config, spec));
  SHEAF_TRY(read_attention_bias(config, spec));
  SHEAF_ASSIGN(spec.up_bias, config.boolean_or("mlp_bias", false));
  spec.down_bias = spec.up_bias;
  return {};
}

// Jiang et al., "Mistral 7B" (2023): every layer sees a window, unless it is null.
Status read_mistral(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_causal_decoder(config, spec));
  if (config.is_null("sliding_window")) return {};
  spec.local_layers.assign(spec.layers, true);
  return read_window(config, spec);
}

// Abdin et al., "Phi-3 Technical Report" (2024): every layer sees a window if there is one.
Status read_phi3(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_causal_decoder(config, spec, {.epsilon = 1e-5}));
  if (!config.has("sliding_window")) return {};
  spec.local_layers.assign(spec.layers, true);
  return read_window(config, spec);
}

// Yang et al., "Qwen2 Technical Report" (2024): biases of queries, keys and values alone.
// Li et al., "GTE" (2023), have code of their own for gte-Qwen2, which stella_en_1.5B took over: it
// sees the whole text, and ends each with a token that tokenizer.json does not add.
Status read_qwen2(const JsonObject& config, ModelSpec& spec) {
  const bool gte = maps_to_code(config, "modeling_qwen.");
  SHEAF_TRY(read_causal_decoder(config, spec, {.causal = !gte}));
  spec.query_key_value_bias = true;
  if (gte) spec.closing_token = "<|endoftext|>";
  return read_qwen_window(config, spec);
}

// Yang et al., "Qwen3 Technical Report" (2025): norms of the heads in place of the biases.
Status read_qwen3(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_causal_decoder(config, spec, {.head_size = 128}));
  spec.head_norms = true;
  SHEAF_TRY(read_attention_bias(config, spec));
  return read_qwen_window(config, spec);
}

}  // namespace sheaf::model
