#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/spec/json_file.h"
#include "model/spec/spec.h"

// What the readers of config.json share. All of them name the field that they refuse.
namespace sheaf::model {

// Takes the text of a field, or `built` where it is absent, and refuses any other.
Status want(const JsonObject& config, std::string_view field, const std::string& built,
            std::string& value);

// Refuses any number but `built`.
Status want_number(const JsonObject& config, std::string_view field, std::uint32_t built);

// Refuses a switch that is on.
Status want_off(const JsonObject& config, std::string_view field);

// Whether the code that this config.json asks for by its auto_map is one whose name holds `word`:
// some families bear another's model_type.
bool maps_to_code(const JsonObject& config, std::string_view word);

// The names of the sizes that every family has.
struct ShapeFields {
  std::string_view hidden = "hidden_size";
  std::string_view layers = "num_hidden_layers";
  std::string_view heads = "num_attention_heads";
  std::string_view intermediate = "intermediate_size";
  std::string_view positions = "max_position_embeddings";
  std::string_view head_size = "";        // where it may differ from hidden / heads
  std::uint32_t head_size_otherwise = 0;  // where that field is absent; 0: hidden / heads
};

// All sizes of `spec` but type_vocab_size; kv_heads as many as heads.
Status read_shape(const JsonObject& config, const ShapeFields& fields, ModelSpec& spec);

// Makes positions count from behind the padding token's id, as RoBERTa's do.
Status offset_positions(const JsonObject& config, std::uint32_t pad, ModelSpec& spec);

// DeBERTa's relative positions, after read_shape().
Status read_relative(const JsonObject& config, ModelSpec& spec);

// Which layers see a window, by layer_types, which must be there.
Status read_layer_types(const JsonObject& config, ModelSpec& spec);

// The same, or where layer_types is absent by what `is_local` says of each layer.
template <class IsLocal>
Status read_local_layers(const JsonObject& config, IsLocal is_local, ModelSpec& spec) {
  if (config.has("layer_types")) return read_layer_types(config, spec);
  for (std::uint32_t i = 0; i < spec.layers; ++i) spec.local_layers.push_back(is_local(i));
  return {};
}

}  // namespace sheaf::model
