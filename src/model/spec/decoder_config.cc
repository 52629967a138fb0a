#include "model/spec/decoder_config.h"

#include <fmt/core.h>

#include "model/spec/config_parts.h"
#include "model/spec/limits.h"

// What is absent from a file has the value that transformers would give it.
namespace sheaf::model {
namespace {

constexpr std::uint32_t kDefaultWindow = 4096;

Status read_heads(const JsonObject& config, ModelSpec& spec) {
  constexpr std::string_view kField = "num_key_value_heads";
  SHEAF_ASSIGN(spec.kv_heads, config.number_or(kField, 1, spec.heads, spec.heads));
  if (spec.heads % spec.kv_heads != 0)
    return config.error(kField, fmt::format("is {}, which does not divide the {} attention heads",
                                            spec.kv_heads, spec.heads));
  if (spec.head_size % 2 != 0)
    return config.error("head_dim",
                        fmt::format("is {}; heads of odd size cannot be turned", spec.head_size));
  return {};
}

// What all of them share.
Status read_decoder(const JsonObject& config, ModelSpec& spec,
                    std::uint32_t head_size_otherwise = 0) {
  spec.architecture = Architecture::decoder;
  const ShapeFields fields = {.head_size = "head_dim", .head_size_otherwise = head_size_otherwise};
  SHEAF_TRY(read_shape(config, fields, spec));
  SHEAF_TRY(read_heads(config, spec));
  SHEAF_ASSIGN(const double epsilon, config.real_or("rms_norm_eps", 0, 1, 1e-6));
  spec.norm_epsilon = static_cast<float>(epsilon);
  SHEAF_ASSIGN(spec.causal, config.boolean_or("is_causal", true));
  SHEAF_ASSIGN(spec.rotary, read_rotary(config, {.scaling = "rope_scaling"}));
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

// Touvron et al., "LLaMA" (2023), and its successors.
Status read_llama(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_decoder(config, spec));
  SHEAF_TRY(read_attention_bias(config, spec));
  SHEAF_ASSIGN(spec.middle_bias, config.boolean_or("mlp_bias", false));
  return {};
}

// Jiang et al., "Mistral 7B" (2023): every layer sees a window, unless it is null.
Status read_mistral(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_decoder(config, spec));
  if (config.is_null("sliding_window")) return {};
  spec.local_layers.assign(spec.layers, true);
  return read_window(config, spec);
}

// Yang et al., "Qwen2 Technical Report" (2024): biases of queries, keys and values alone.
Status read_qwen2(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_decoder(config, spec));
  spec.query_key_value_bias = true;
  return read_qwen_window(config, spec);
}

// Yang et al., "Qwen3 Technical Report" (2025): norms of the heads in place of the biases.
Status read_qwen3(const JsonObject& config, ModelSpec& spec) {
  SHEAF_TRY(read_decoder(config, spec, 128));
  spec.head_norms = true;
  SHEAF_TRY(read_attention_bias(config, spec));
  return read_qwen_window(config, spec);
}

}  // namespace sheaf::model
