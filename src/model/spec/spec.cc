#include "model/spec/spec.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/mapping.h"
#include "model/spec/config.h"
#include "model/spec/json_file.h"
#include "model/spec/limits.h"
#include "model/spec/safetensors.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxJsonBytes = 16u << 20;

struct PoolingRow {
  Pooling pooling;
  std::string_view name;    // TEI's word
  std::string_view mode;    // of 1_Pooling/config.json, field pooling_mode
  std::string_view legacy;  // its older boolean field
};
// In the order in which sentence-transformers concatenates the older fields.
constexpr std::array<PoolingRow, 6> kPoolings = {{
    {Pooling::cls, "cls", "cls", "pooling_mode_cls_token"},
    {Pooling::max, "max", "max", "pooling_mode_max_tokens"},
    {Pooling::mean, "mean", "mean", "pooling_mode_mean_tokens"},
    {Pooling::mean_sqrt_len, "mean_sqrt_len", "mean_sqrt_len_tokens",
     "pooling_mode_mean_sqrt_len_tokens"},
    {Pooling::weighted_mean, "weighted_mean", "weightedmean", "pooling_mode_weightedmean_tokens"},
    {Pooling::last_token, "last_token", "lasttoken", "pooling_mode_lasttoken"},
}};

// Of the Transformer module; the first that exists counts. Models made before sentence-transformers
// 2 name it after their architecture.
constexpr std::string_view kTransformerFiles[] = {
    "sentence_bert_config.json",       "sentence_roberta_config.json",
    "sentence_distilbert_config.json", "sentence_camembert_config.json",
    "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json"};

// A small JSON file of the model's folder. `name` may hold a subfolder; nothing if it does not
// exist.
Result<std::optional<json>> read_json(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<json>();
  SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
  if (file.size() > kMaxJsonBytes)
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: {} bytes, more than {}", path, file.size(), kMaxJsonBytes)};
  SHEAF_ASSIGN(json value,
               parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, path));
  return std::optional<json>(std::move(value));
}

// Builds the spec from one file after the other.
class SpecReader {
 public:
  explicit SpecReader(const std::string& folder) : folder_(folder) {}

  Result<ModelSpec> read() {
    SHEAF_TRY(read_config());
    SHEAF_TRY(read_modules());
    SHEAF_TRY(read_length());
    SHEAF_TRY(read_prompts());
    SHEAF_TRY(read_weights());
    spec_.dimensions = spec_.hidden_size * static_cast<std::uint32_t>(spec_.pooling.size());
    SHEAF_TRY(check_limits(spec_, folder_));
    return std::move(spec_);
  }

 private:
  std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

  Status read_config() {
    SHEAF_ASSIGN(const std::optional<json> file, read_json(folder_, "config.json"));
    if (!file) return Error{ErrorCode::not_found, path_of("config.json") + ": no such file"};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of("config.json")));
    return model::read_config(config, spec_);
  }

  // modules.json: a Transformer, a Pooling, at the end maybe a Normalize. Without it
  // sentence-transformers pools by the mean, and so do we.
  Status read_modules() {
    const std::string name = path_of("modules.json");
    SHEAF_ASSIGN(const std::optional<json> file, read_json(folder_, "modules.json"));
    if (!file) {
      spec_.pooling = {Pooling::mean};
      return {};
    }
    if (!file->is_array()) return Error{ErrorCode::corrupt, name + ": is not a list of modules"};
    for (std::size_t i = 0; i < file->size(); ++i) {
      SHEAF_ASSIGN(const JsonObject module,
                   JsonObject::of((*file)[i], name, fmt::format("{}.", i)));
      SHEAF_TRY(read_module(module, i));
    }
    if (spec_.pooling.empty())
      return Error{ErrorCode::unsupported, name + ": field 'type': no Pooling module"};
    return {};
  }

  Status read_module(const JsonObject& module, std::size_t index) {
    SHEAF_ASSIGN(const std::string type, module.text("type"));
    SHEAF_ASSIGN(const std::string path, module.text_or("path", ""));
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Transformer" && index == 0) {
      if (path.empty()) return {};
      return module.unsupported("path",
                                "is '" + path + "'; the transformer must lie in the folder itself");
    }
    if (kind == "Pooling" && index == 1) return read_pooling(module, path);
    if (kind == "Normalize" && index == 2) {
      spec_.normalize = true;
      return {};
    }
    return module.unsupported(
        "type", "is '" + type + "'; built are: Transformer, Pooling, Normalize in this order");
  }

  Status read_pooling(const JsonObject& module, const std::string& path) {
    if (path.empty() || path.front() == '/' || path.find("..") != std::string::npos)
      return module.error("path", "'" + path + "' is not the name of a folder within the model's");
    const std::string name = path + "/config.json";
    SHEAF_ASSIGN(const std::optional<json> file, read_json(folder_, name));
    if (!file) return Error{ErrorCode::not_found, path_of(name) + ": no such file"};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of(name)));
    for (const char* field : {"word_embedding_dimension", "embedding_dimension"}) {
      SHEAF_ASSIGN(const std::uint32_t size,
                   config.number_or(field, 1, kMaxHidden, spec_.hidden_size));
      if (size != spec_.hidden_size)
        return config.error(field,
                            fmt::format("is {}, but hidden_size is {}", size, spec_.hidden_size));
    }
    SHEAF_ASSIGN(const bool include_prompt, config.boolean_or("include_prompt", true));
    if (!include_prompt) return config.unsupported("include_prompt", "is false");
    if (const json* modes = config.find("pooling_mode")) return read_pooling_modes(config, *modes);
    return read_pooling_flags(config);
  }

  // "mean" or ["cls", "mean"]
  Status read_pooling_modes(const JsonObject& config, const json& modes) {
    const json list = modes.is_array() ? modes : json::array({modes});
    for (const json& mode : list) {
      if (!mode.is_string()) return config.error("pooling_mode", "holds something but strings");
      const auto& word = mode.get_ref<const std::string&>();
      const auto* row = std::ranges::find(kPoolings, word, &PoolingRow::mode);
      if (row == kPoolings.end())
        return config.error("pooling_mode", "holds '" + word + "', which is unknown");
      spec_.pooling.push_back(row->pooling);
    }
    if (list.empty() || list.size() > kPoolings.size())
      return config.error("pooling_mode", fmt::format("has {} entries", list.size()));
    return {};
  }

  Status read_pooling_flags(const JsonObject& config) {
    for (const PoolingRow& row : kPoolings) {
      SHEAF_ASSIGN(const bool used, config.boolean_or(row.legacy, false));
      if (used) spec_.pooling.push_back(row.pooling);
    }
    if (spec_.pooling.empty()) spec_.pooling = {Pooling::mean};
    return {};
  }

  // The model's own limit, else the tokenizer's, and never beyond the position table.
  Status read_length() {
    spec_.max_length = spec_.positions;
    for (const std::string_view name : kTransformerFiles) {
      SHEAF_ASSIGN(const std::optional<json> file, read_json(folder_, std::string(name)));
      if (!file) continue;
      SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of(std::string(name))));
      SHEAF_ASSIGN(spec_.do_lower_case, config.boolean_or("do_lower_case", false));
      if (!config.has("max_seq_length")) break;
      SHEAF_ASSIGN(const std::uint32_t length, config.number("max_seq_length", 1, kMaxPositions));
      spec_.max_length = std::min(length, spec_.positions);
      return {};
    }
    return read_tokenizer_length();
  }

  // Tokenizers without a limit say so by an absurdly large number, often in floating point.
  Status read_tokenizer_length() {
    SHEAF_ASSIGN(const std::optional<json> file, read_json(folder_, "tokenizer_config.json"));
    if (!file) return {};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of("tokenizer_config.json")));
    SHEAF_ASSIGN(const double length,
                 config.real_or("model_max_length", 1, 1e300, spec_.positions));
    if (length < spec_.positions) spec_.max_length = static_cast<std::uint32_t>(length);
    return {};
  }

  Status read_prompts() {
    const std::string name = path_of("config_sentence_transformers.json");
    SHEAF_ASSIGN(const std::optional<json> file,
                 read_json(folder_, "config_sentence_transformers.json"));
    if (!file) return {};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, name));
    if (const json* prompts = config.find("prompts")) {
      SHEAF_ASSIGN(const JsonObject texts, JsonObject::of(*prompts, name, "prompts."));
      for (const auto& [key, unused] : prompts->items()) {
        SHEAF_ASSIGN(spec_.prompts[key], texts.text(key));
      }
    }
    SHEAF_ASSIGN(spec_.default_prompt_name, config.text_or("default_prompt_name", ""));
    if (!spec_.default_prompt_name.empty() && !spec_.prompts.contains(spec_.default_prompt_name))
      return config.error("default_prompt_name",
                          "is '" + spec_.default_prompt_name + "', not one of prompts");
    return {};
  }

  Status read_weights() {
    const std::string path = path_of("model.safetensors");
    SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
    SHEAF_ASSIGN(const TensorTable table, TensorTable::parse(file.bytes(), path));
    std::uint64_t largest = 0;
    for (const TensorEntry& entry : table.entries()) {
      const bool real = entry.dtype.front() == 'F' || entry.dtype.front() == 'B';
      if (!real || entry.dtype == "BOOL") continue;
      spec_.parameter_count += table.element_count(entry);
      if (const std::uint64_t count = table.element_count(entry); count > largest) {
        largest = count;
        spec_.weights_dtype = entry.dtype;
      }
    }
    spec_.weights_bytes_fp32 = spec_.parameter_count * sizeof(float);
    return {};
  }

  const std::string& folder_;
  ModelSpec spec_;
};

}  // namespace

std::string_view name_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::bert:
      return "bert";
    case Architecture::decoder:
      return "decoder";
    case Architecture::distilbert:
      return "distilbert";
    case Architecture::modernbert:
      return "modernbert";
    case Architecture::mpnet:
      return "mpnet";
  }
  return "";
}

std::string_view name_of(Pooling pooling) {
  return std::ranges::find(kPoolings, pooling, &PoolingRow::pooling)->name;
}

Result<ModelSpec> read_spec(const std::string& folder) { return SpecReader(folder).read(); }

std::vector<ModelFile> model_files() {
  std::vector<ModelFile> files = {{"config.json", true},
                                  {"tokenizer.json", true},
                                  {"tokenizer_config.json", false},
                                  {"special_tokens_map.json", false},
                                  {"modules.json", false},
                                  {"1_Pooling/config.json", false},
                                  {"config_sentence_transformers.json", false}};
  for (const std::string_view name : kTransformerFiles) files.push_back({std::string(name), false});
  files.push_back({"model.safetensors", true});
  return files;
}

std::uint64_t working_set_bytes(const ModelSpec& spec, std::uint32_t max_batch_tokens) {
  // The engine runs a batch in groups of texts of about this many tokens a thread (engine.cc), so
  // that its activations are bounded by a group and the longest text, not by the batch.
  constexpr std::uint64_t kGroupTokens = 384;
  constexpr std::uint64_t kBlockTokens = 96;
  constexpr std::uint64_t kProcessBytes = 8u << 20;  // code, heap, page tables of the weights
  const std::uint64_t text = std::min<std::uint64_t>(spec.positions, max_batch_tokens);
  const std::uint64_t group = std::min<std::uint64_t>(kGroupTokens + text, max_batch_tokens);
  const bool gated = spec.rotary.theta != 0;  // and with norms before the sub-layers
  const std::uint64_t heads = std::uint64_t{2} * (spec.heads + spec.kv_heads) * spec.head_size;
  const std::uint64_t activations = group * ((gated ? 3 : 1) * spec.hidden_size + heads);
  const std::uint64_t block =
      kBlockTokens * (spec.hidden_size + std::uint64_t{gated ? 3u : 1u} * spec.intermediate_size);
  const std::uint64_t attention = text * (2 * spec.head_size + 16);
  const std::uint64_t angles = gated ? 2 * text * spec.head_size : 0;
  return kProcessBytes + sizeof(float) * (activations + block + attention + angles) +
         std::uint64_t{12} * max_batch_tokens;
}

}  // namespace sheaf::model
