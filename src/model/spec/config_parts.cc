#include "model/spec/config_parts.h"

#include <fmt/core.h>

#include <cctype>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

Status read_head_size(const JsonObject& config, const ShapeFields& fields, ModelSpec& spec) {
  if (!fields.head_size.empty() && config.has(fields.head_size)) {
    SHEAF_ASSIGN(spec.head_size, config.number(fields.head_size, 1, kMaxHeadSize));
    return {};
  }
  spec.head_size = fields.head_size_otherwise;
  if (spec.head_size > 0) return {};
  if (spec.hidden_size % spec.heads != 0)
    return config.error(fields.heads, fmt::format("is {}, which does not divide the hidden size {}",
                                                  spec.heads, spec.hidden_size));
  spec.head_size = spec.hidden_size / spec.heads;
  return {};
}

// Files say -1 where there is no such number; 0 is returned then.
Result<std::uint32_t> read_positive(const JsonObject& config, std::string_view field) {
  SHEAF_ASSIGN(const double value, config.real_or(field, -1, kMaxPositions, -1));
  if (value != std::floor(value))
    return config.error(field, fmt::format("is {}, no whole number", value));
  return value < 1 ? 0 : static_cast<std::uint32_t>(value);
}

// The words of a list, or of a text that separates them by bars, as older files do.
Result<std::vector<std::string>> read_words(const JsonObject& config, std::string_view field) {
  std::vector<std::string> words;
  const nlohmann::json* value = config.find(field);
  if (value != nullptr && value->is_array()) {
    for (const nlohmann::json& word : *value) {
      if (!word.is_string()) return config.error(field, "holds something that is no text");
      words.push_back(word);
    }
    return words;
  }
  SHEAF_ASSIGN(const std::string text, config.text_or(field, ""));
  std::string word;
  for (const char c : text + "|") {
    if (c == ' ') continue;
    if (c != '|') {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (!word.empty()) words.push_back(word);
    word.clear();
  }
  return words;
}

// Sets the switch that each word stands for.
Status read_switches(const JsonObject& config, std::string_view field,
                     const std::map<std::string, bool*>& switches) {
  SHEAF_ASSIGN(const std::vector<std::string> words, read_words(config, field));
  for (const std::string& word : words) {
    const auto found = switches.find(word);
    if (found == switches.end()) {
      std::string built;
      for (const auto& [name, unused] : switches)
        built.append(built.empty() ? "" : ", ").append(name);
      return config.unsupported(field, "has '" + word + "'; built are: " + built);
    }
    *found->second = true;
  }
  return {};
}

}  // namespace

Status want(const JsonObject& config, std::string_view field, const std::string& built,
            std::string& value) {
  SHEAF_ASSIGN(value, config.text_or(field, built));
  if (value == built) return {};
  return config.unsupported(field, "is '" + value + "'; built are: " + built);
}

Status want_number(const JsonObject& config, std::string_view field, std::uint32_t built) {
  SHEAF_ASSIGN(const std::uint32_t value, config.number_or(field, 0, kMaxIntermediate, built));
  if (value == built) return {};
  return config.unsupported(field, fmt::format("is {}; built is: {}", value, built));
}

Status want_off(const JsonObject& config, std::string_view field) {
  SHEAF_ASSIGN(const bool on, config.boolean_or(field, false));
  if (on) return config.unsupported(field, "is true; built are models without");
  return {};
}

bool maps_to_code(const JsonObject& config, std::string_view word) {
  const nlohmann::json* map = config.find("auto_map");
  return map != nullptr && map->dump().find(word) != std::string::npos;
}

Status read_shape(const JsonObject& config, const ShapeFields& fields, ModelSpec& spec) {
  SHEAF_ASSIGN(spec.hidden_size, config.number(fields.hidden, 1, kMaxHidden));
  SHEAF_ASSIGN(spec.layers, config.number(fields.layers, 1, kMaxLayers));
  SHEAF_ASSIGN(spec.heads, config.number(fields.heads, 1, spec.hidden_size));
  SHEAF_TRY(read_head_size(config, fields, spec));
  spec.kv_heads = spec.heads;
  SHEAF_ASSIGN(spec.intermediate_size, config.number(fields.intermediate, 1, kMaxIntermediate));
  SHEAF_ASSIGN(spec.vocab_size, config.number("vocab_size", 1, kMaxVocab));
  SHEAF_ASSIGN(spec.positions, config.number(fields.positions, 1, kMaxPositions));
  return {};
}

Status offset_positions(const JsonObject& config, std::uint32_t pad, ModelSpec& spec) {
  spec.position_offset = pad + 1;
  if (spec.position_offset >= spec.positions)
    return config.error("max_position_embeddings",
                        fmt::format("is {}, none of which is behind the padding token's id {}",
                                    spec.positions, pad));
  spec.positions -= spec.position_offset;
  return {};
}

Status read_relative(const JsonObject& config, ModelSpec& spec) {
  SHEAF_ASSIGN(const bool relative, config.boolean_or("relative_attention", false));
  if (!relative)
    return config.unsupported("relative_attention", "is not true; built are models with");
  RelativeSpec& r = spec.relative;
  SHEAF_ASSIGN(r.reach, read_positive(config, "max_relative_positions"));
  if (r.reach == 0) r.reach = spec.positions;
  SHEAF_ASSIGN(r.buckets, read_positive(config, "position_buckets"));
  if (r.buckets > 0 && !can_share(r))
    return config.error(
        "position_buckets",
        fmt::format("is {}, by which {} distances cannot be told apart", r.buckets, r.reach));
  SHEAF_TRY(read_switches(config, "pos_att_type", {{"c2p", &r.keys}, {"p2c", &r.queries}}));
  SHEAF_ASSIGN(r.shared_layers, config.boolean_or("share_att_key", false));
  bool none = false;
  return read_switches(config, "norm_rel_ebd", {{"layer_norm", &r.normalized}, {"none", &none}});
}

Status read_layer_types(const JsonObject& config, ModelSpec& spec) {
  constexpr std::string_view kField = "layer_types";
  const nlohmann::json* types = config.find(kField);
  if (types == nullptr || !types->is_array() || types->size() != spec.layers)
    return config.error(kField, fmt::format("is not a list of {} layers", spec.layers));
  for (const nlohmann::json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      return config.unsupported(
          kField, "holds " + type.dump() + "; built are: full_attention, sliding_attention");
    spec.local_layers.push_back(type == "sliding_attention");
  }
  return {};
}

}  // namespace sheaf::model
