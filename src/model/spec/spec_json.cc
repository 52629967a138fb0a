#include "model/spec/spec_json.h"

#include "model/spec/json_file.h"
#include "model/spec/limits.h"

namespace sheaf::model {

NLOHMANN_JSON_SERIALIZE_ENUM(Architecture, {{Architecture::bert, "bert"},
                                            {Architecture::deberta, "deberta"},
                                            {Architecture::decoder, "decoder"},
                                            {Architecture::distilbert, "distilbert"},
                                            {Architecture::gemma3, "gemma3"},
                                            {Architecture::gte, "gte"},
                                            {Architecture::jina_bert, "jina_bert"},
                                            {Architecture::jina_code, "jina_code"},
                                            {Architecture::jina_flash, "jina_flash"},
                                            {Architecture::modernbert, "modernbert"},
                                            {Architecture::mpnet, "mpnet"},
                                            {Architecture::nomic, "nomic"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Pooling, {{Pooling::cls, "cls"},
                                       {Pooling::mean, "mean"},
                                       {Pooling::max, "max"},
                                       {Pooling::mean_sqrt_len, "mean_sqrt_len"},
                                       {Pooling::weighted_mean, "weighted_mean"},
                                       {Pooling::last_token, "last_token"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Similarity, {{Similarity::cosine, "cosine"},
                                          {Similarity::dot, "dot"},
                                          {Similarity::euclidean, "euclidean"},
                                          {Similarity::manhattan, "manhattan"}})
NLOHMANN_JSON_SERIALIZE_ENUM(RotaryScaling, {{RotaryScaling::none, "none"},
                                             {RotaryScaling::dynamic, "dynamic"},
                                             {RotaryScaling::linear, "linear"},
                                             {RotaryScaling::llama3, "llama3"},
                                             {RotaryScaling::longrope, "longrope"},
                                             {RotaryScaling::ntk, "ntk"},
                                             {RotaryScaling::yarn, "yarn"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RotarySpec, theta, fraction, scaling, factor, low_turns,
                                   high_turns, whole_pairs, trained_positions, short_factors,
                                   long_factors, amplitude)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RelativeSpec, reach, buckets, keys, queries, shared_layers,
                                   normalized)
NLOHMANN_JSON_SERIALIZE_ENUM(DenseActivation, {{DenseActivation::none, "none"},
                                               {DenseActivation::gelu, "gelu"},
                                               {DenseActivation::relu, "relu"},
                                               {DenseActivation::silu, "silu"},
                                               {DenseActivation::tanh, "tanh"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DenseSpec, folder, name, norm, inputs, outputs, bias, activation,
                                   rows)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WordHeadSpec, transform, norm_shift, decoder, bias, sum, logs)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PairTemplate, before_instruction, instruction_begin,
                                   instruction_end, instruction, before_query, after_query,
                                   before_document, after_document)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(
    ModelSpec, architecture, model_type, hidden_size, layers, heads, kv_heads, head_size,
    intermediate_size, vocab_size, type_vocab_size, positions, position_offset, position_table,
    distance_buckets, relative, causal, linear_distance, rotary, local_rotary, local_layers,
    local_before, local_after, query_key_value_bias, attention_output_bias, up_bias, down_bias,
    gated, experts, experts_chosen, expert_every, head_norms, query_scalar, norm_epsilon,
    activation, pooling, pools_prompt, dense, word_head, token_weight, token_vectors, special_ids,
    unread_heads, adapters, labels, independent_labels, score_activation, normalize, dimensions,
    max_length, do_lower_case, opening_token, closing_token, cut_left, prompts, default_prompt_name,
    similarity, pair_template, weights_dtype, parameter_count, weights_bytes_fp32, assumed)

std::string to_json(const ModelSpec& spec) { return nlohmann::json(spec).dump(); }

Result<ModelSpec> spec_from_json(std::string_view text, const std::string& file) {
  SHEAF_ASSIGN(const nlohmann::json root, parse_json(text, file));
  try {
    ModelSpec spec = root.get<ModelSpec>();
    SHEAF_TRY(check_limits(spec, file));
    return spec;
  } catch (const nlohmann::json::exception&) {
    return Error{ErrorCode::corrupt,
                 file + ": model description: a field is missing or of another type"};
  }
}

}  // namespace sheaf::model
