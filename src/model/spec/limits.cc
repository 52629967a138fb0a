#include "model/spec/limits.h"

#include <fmt/core.h>

namespace sheaf::model {
namespace {

// What is wrong with rotary positions, as the field that says it; "" if nothing is.
std::string_view unsound_field(const RotarySpec& rotary, std::uint32_t head_size) {
  if (!(rotary.fraction > 0 && rotary.fraction <= 1)) return "partial_rotary_factor";
  if (rotary.theta == 0) return "";
  if (head_size % 2 != 0) return "head_dim";
  const std::size_t pairs = rotary.pairs(head_size);
  if (rotary.scaling == RotaryScaling::dynamic &&
      !(rotary.factor >= 1 && rotary.trained_positions >= 1 && pairs >= 2))
    return "rotary_scaling_factor";
  if (rotary.scaling == RotaryScaling::longrope &&
      (rotary.short_factors.size() != pairs || rotary.long_factors.size() != pairs))
    return "short_factor";
  return "";
}

}  // namespace

bool can_share(const RelativeSpec& relative) {
  // The first bucket behind the single distances, the narrowest, is about log((reach - 1) / single)
  // distances wide: more than one, so that none is skipped.
  const std::uint32_t single = relative.buckets / 2;
  return single > 0 && relative.buckets <= kMaxPositions && relative.reach > 3 * single;
}

Status check_limits(const ModelSpec& spec, const std::string& file) {
  const auto refuse = [&file](const char* field, std::uint64_t value) -> Status {
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: field '{}' cannot be {}", file, field, value)};
  };
  const auto outside = [](std::uint32_t value, std::uint32_t high) {
    return value < 1 || value > high;
  };
  if (outside(spec.hidden_size, kMaxHidden)) return refuse("hidden_size", spec.hidden_size);
  if (outside(spec.layers, kMaxLayers)) return refuse("num_hidden_layers", spec.layers);
  if (outside(spec.heads, spec.hidden_size)) return refuse("num_attention_heads", spec.heads);
  if (outside(spec.head_size, kMaxHeadSize) ||
      std::uint64_t{spec.heads} * spec.head_size > kMaxHeadColumns)
    return refuse("head_dim", spec.head_size);
  if (outside(spec.kv_heads, spec.heads) || spec.heads % spec.kv_heads != 0)
    return refuse("num_key_value_heads", spec.kv_heads);
  const bool grouped =
      spec.architecture == Architecture::decoder || spec.architecture == Architecture::gemma3;
  if (!grouped && (spec.kv_heads != spec.heads || spec.heads * spec.head_size != spec.hidden_size))
    return refuse("num_attention_heads", spec.heads);
  if (outside(spec.intermediate_size, kMaxIntermediate))
    return refuse("intermediate_size", spec.intermediate_size);
  if (outside(spec.vocab_size, kMaxVocab)) return refuse("vocab_size", spec.vocab_size);
  if (spec.type_vocab_size > kMaxVocab) return refuse("type_vocab_size", spec.type_vocab_size);
  if (outside(spec.positions, kMaxPositions))
    return refuse("max_position_embeddings", spec.positions);
  if (spec.distance_buckets != 0 && spec.distance_buckets != kDistanceBuckets)
    return refuse("relative_attention_num_buckets", spec.distance_buckets);
  if (spec.relative.reach > kMaxPositions)
    return refuse("max_relative_positions", spec.relative.reach);
  if (spec.relative.buckets != 0 && !can_share(spec.relative))
    return refuse("position_buckets", spec.relative.buckets);
  for (const RotarySpec* rotary : {&spec.rotary, &spec.local_rotary})
    if (const std::string_view field = unsound_field(*rotary, spec.head_size); !field.empty())
      return Error{ErrorCode::corrupt,
                   fmt::format("{}: field '{}' does not fit the others", file, field)};
  if (spec.experts > kMaxExperts) return refuse("num_experts", spec.experts);
  if (spec.experts > 0 && outside(spec.experts_chosen, spec.experts))
    return refuse("moe_top_k", spec.experts_chosen);
  if (spec.experts > 0 && spec.expert_every < 2)
    return refuse("moe_every_n_layers", spec.expert_every);
  if (!spec.local_layers.empty() && spec.local_layers.size() != spec.layers)
    return refuse("layer_types", spec.local_layers.size());
  if (spec.position_offset > kMaxPositions) return refuse("pad_token_id", spec.position_offset);
  if (outside(spec.max_length, spec.positions)) return refuse("max_seq_length", spec.max_length);
  const DenseSpec& transform = spec.word_head.transform;
  if (spec.is_splade() && (transform.inputs != spec.hidden_size ||
                           transform.outputs != spec.hidden_size || spec.word_head.logs > 2))
    return refuse("word_head", transform.outputs);
  if (!spec.token_weight.name.empty() && spec.token_weight.outputs != 1)
    return refuse("token_weight", spec.token_weight.outputs);
  if (!spec.token_vectors.name.empty() && (spec.token_vectors.inputs != spec.hidden_size ||
                                           outside(spec.token_vectors.outputs, kMaxIntermediate)))
    return refuse("token_vectors", spec.token_vectors.outputs);
  if (spec.is_splade())
    return spec.dimensions == spec.vocab_size ? Status() : refuse("dimensions", spec.dimensions);
  if (spec.pooling.empty()) return refuse("pooling_mode", 0);
  std::uint64_t dimensions = std::uint64_t{spec.hidden_size} * spec.pooling.size();
  for (const DenseSpec& dense : spec.dense) {
    if (dense.inputs != dimensions) return refuse("in_features", dense.inputs);
    if (outside(dense.outputs, kMaxIntermediate)) return refuse("out_features", dense.outputs);
    if (dense.rows.size() > 2 || (!dense.rows.empty() && dense.outputs != 1))
      return refuse("rows", dense.rows.size());
    for (const std::uint32_t row : dense.rows)
      if (row >= spec.vocab_size) return refuse("true_token_id", row);
    dimensions = dense.outputs;
  }
  if (spec.dimensions < 1 || spec.dimensions > dimensions)
    return refuse("dimensions", spec.dimensions);
  if (!spec.labels.empty() && (spec.labels.size() != dimensions || spec.dimensions != dimensions))
    return refuse("num_labels", static_cast<std::uint32_t>(spec.labels.size()));
  return {};
}

}  // namespace sheaf::model
