#include "model/spec/modules.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "model/spec/heads.h"
#include "model/spec/json_file.h"
#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

const std::string kModules = "modules.json";
constexpr std::size_t kMaxModules = 16;

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

struct ActivationRow {
  DenseActivation activation;
  std::string_view type;
};
constexpr std::array<ActivationRow, 5> kActivations = {{
    {DenseActivation::none, "torch.nn.modules.linear.Identity"},
    {DenseActivation::gelu, "torch.nn.modules.activation.GELU"},
    {DenseActivation::relu, "torch.nn.modules.activation.ReLU"},
    {DenseActivation::silu, "torch.nn.modules.activation.SiLU"},
    {DenseActivation::tanh, "torch.nn.modules.activation.Tanh"},
}};

bool is_subfolder(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.find("..") == std::string::npos;
}

void pool_as(const PoolingChoice& choice, ModelSpec& spec) {
  if (choice.pooling) spec.pooling = {*choice.pooling};
  spec.dimensions = choice.splade ? spec.vocab_size : spec.hidden_size;
}

// "mean" or ["cls", "mean"]
Status read_pooling_modes(const JsonObject& config, const json& modes, ModelSpec& spec) {
  const json list = modes.is_array() ? modes : json::array({modes});
  for (const json& mode : list) {
    if (!mode.is_string()) return config.error("pooling_mode", "holds something but strings");
    const auto& word = mode.get_ref<const std::string&>();
    const auto* row = std::ranges::find(kPoolings, word, &PoolingRow::mode);
    if (row == kPoolings.end())
      return config.error("pooling_mode", "holds '" + word + "', which is unknown");
    spec.pooling.push_back(row->pooling);
  }
  if (list.empty() || list.size() > kPoolings.size())
    return config.error("pooling_mode", fmt::format("has {} entries", list.size()));
  return {};
}

Status read_pooling_flags(const JsonObject& config, ModelSpec& spec) {
  for (const PoolingRow& row : kPoolings) {
    SHEAF_ASSIGN(const bool used, config.boolean_or(row.legacy, false));
    if (used) spec.pooling.push_back(row.pooling);
  }
  if (spec.pooling.empty()) spec.pooling = {Pooling::mean};
  return {};
}

Status read_pooling(const JsonObject& config, const PoolingChoice& choice, ModelSpec& spec) {
  for (const char* field : {"word_embedding_dimension", "embedding_dimension"}) {
    SHEAF_ASSIGN(const std::uint32_t size,
                 config.number_or(field, 1, kMaxHidden, spec.hidden_size));
    if (size != spec.hidden_size)
      return config.error(field,
                          fmt::format("is {}, but hidden_size is {}", size, spec.hidden_size));
  }
  SHEAF_ASSIGN(spec.pools_prompt, config.boolean_or("include_prompt", true));
  if (choice.given()) {
    pool_as(choice, spec);
  } else {
    const json* modes = config.find("pooling_mode");
    SHEAF_TRY(modes != nullptr ? read_pooling_modes(config, *modes, spec)
                               : read_pooling_flags(config, spec));
    spec.dimensions = spec.hidden_size * static_cast<std::uint32_t>(spec.pooling.size());
  }
  return {};
}

Status read_dense(const JsonObject& config, const std::string& path, ModelSpec& spec) {
  DenseSpec dense{.folder = path, .name = path + "/linear"};
  SHEAF_ASSIGN(dense.inputs, config.number("in_features", 1, kMaxIntermediate));
  if (dense.inputs != spec.dimensions)
    return config.error("in_features", fmt::format("is {}, but the module before gives {}",
                                                   dense.inputs, spec.dimensions));
  SHEAF_ASSIGN(dense.outputs, config.number("out_features", 1, kMaxIntermediate));
  SHEAF_ASSIGN(dense.bias, config.boolean_or("bias", true));
  constexpr std::string_view kField = "activation_function";
  SHEAF_ASSIGN(const std::string type, config.text_or(kField, "torch.nn.modules.activation.Tanh"));
  const auto* row = std::ranges::find(kActivations, type, &ActivationRow::type);
  if (row == kActivations.end())
    return config.unsupported(kField,
                              "is '" + type + "'; built are: Identity, GELU, ReLU, SiLU, Tanh");
  dense.activation = row->activation;
  SHEAF_ASSIGN(const bool residual, config.boolean_or("use_residual", false));
  if (residual) return config.unsupported("use_residual", "is true");
  for (const char* field : {"module_input_name", "module_output_name"}) {
    SHEAF_ASSIGN(const std::string name, config.text_or(field, "sentence_embedding"));
    if (name != "sentence_embedding")
      return config.unsupported(field, "is '" + name + "'; built is: sentence_embedding");
  }
  spec.dimensions = dense.outputs;
  spec.dense.push_back(std::move(dense));
  return {};
}

// The module's config.json, given to one of the above.
template <class Read>
Status read_part(const std::string& folder, const std::string& path, Read read) {
  const std::string name = path + "/config.json";
  SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, name));
  if (!file) return Error{ErrorCode::not_found, folder + "/" + name + ": no such file"};
  SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, folder + "/" + name));
  return read(config);
}

Error misplaced(const std::string& folder, std::size_t index, const Module& module) {
  return {ErrorCode::unsupported,
          fmt::format("{}/{}: field '{}.type' is '{}'; built are: Transformer, Pooling, any number "
                      "of Dense, Normalize in this order, or Transformer, SpladePooling",
                      folder, kModules, index, module.type)};
}

Status read_module(const std::string& folder, std::size_t index, const Module& module,
                   const PoolingChoice& choice, ModelSpec& spec) {
  // MLMTransformer is the older name where SpladePooling follows.
  if ((module.kind == "Transformer" || module.kind == "MLMTransformer") && index == 0) {
    if (module.path.empty()) return {};
    return Error{ErrorCode::unsupported,
                 fmt::format("{}/{}: field '0.path' is '{}'; the transformer must lie in the "
                             "folder itself",
                             folder, kModules, module.path)};
  }
  if (module.kind == "Pooling" && index == 1)
    return read_part(folder, module.path,
                     [&](const JsonObject& config) { return read_pooling(config, choice, spec); });
  if (module.kind == "SpladePooling" && index == 1) {
    pool_as(choice.pooling ? choice : PoolingChoice{.splade = true}, spec);
    if (choice.pooling) return {};
    return read_part(folder, module.path,
                     [&](const JsonObject& config) { return read_splade_pooling(config, spec); });
  }
  // Of the vector that was to be; words that weigh something have no length.
  if (choice.splade && module.kind == "Normalize" && index > 1) return {};
  if (index < 2 || spec.normalize || spec.is_splade()) return misplaced(folder, index, module);
  if (module.kind == "Dense")
    return read_part(folder, module.path, [&](const JsonObject& config) {
      return read_dense(config, module.path, spec);
    });
  if (module.kind != "Normalize") return misplaced(folder, index, module);
  spec.normalize = true;
  return {};
}

}  // namespace

Result<std::vector<Module>> list_modules(const std::string& folder) {
  const std::string name = folder + "/" + kModules;
  std::vector<Module> modules;
  SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, kModules));
  if (!file) return modules;
  if (!file->is_array() || file->empty() || file->size() > kMaxModules)
    return Error{ErrorCode::corrupt, fmt::format("{}: is not a list of modules", name)};
  for (std::size_t i = 0; i < file->size(); ++i) {
    SHEAF_ASSIGN(const JsonObject row, JsonObject::of((*file)[i], name, fmt::format("{}.", i)));
    Module module;
    SHEAF_ASSIGN(module.type, row.text("type"));
    SHEAF_ASSIGN(module.path, row.text_or("path", ""));
    module.kind = module.type.substr(module.type.rfind('.') + 1);
    if (module.has_config() && !is_subfolder(module.path))
      return row.error("path",
                       "'" + module.path + "' is not the name of a folder within the model's");
    modules.push_back(std::move(module));
  }
  return modules;
}

Result<PoolingChoice> parse_pooling(std::string_view word) {
  if (word.empty()) return PoolingChoice{};
  if (word == "splade") return PoolingChoice{.splade = true};
  if (word == "rerank") return PoolingChoice{.rerank = true};
  std::string name(word);  // TEI's flag has "last-token", its answers "last_token"
  std::ranges::replace(name, '-', '_');
  std::string built;
  for (const PoolingRow& row : kPoolings) {
    if (name == row.name || name == row.mode) return PoolingChoice{.pooling = row.pooling};
    built.append(row.name).append(", ");
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("'{}' is not one of {}splade, rerank", excerpt(word), built)};
}

Status check_pooling(std::string_view pooling) {
  const Result<PoolingChoice> choice = parse_pooling(pooling);
  return choice.ok() ? Status() : choice.error();
}

// Without modules.json sentence-transformers pools by the mean, and so do we.
Status read_modules(const std::string& folder, const PoolingChoice& choice, ModelSpec& spec) {
  SHEAF_ASSIGN(const std::vector<Module> modules, list_modules(folder));
  for (std::size_t i = 0; i < modules.size(); ++i)
    SHEAF_TRY(read_module(folder, i, modules[i], choice, spec));
  if (!modules.empty() && spec.pooling.empty() && !spec.is_splade())
    return Error{ErrorCode::unsupported,
                 folder + "/" + kModules + ": field 'type': no Pooling module"};
  if (modules.empty())
    pool_as(choice.given() ? choice : PoolingChoice{.pooling = Pooling::mean}, spec);
  return {};
}

std::string_view name_of(Pooling pooling) {
  return std::ranges::find(kPoolings, pooling, &PoolingRow::pooling)->name;
}

}  // namespace sheaf::model
