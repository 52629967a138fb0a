#include "cli/config_file.h"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "cli/precision.h"
#include "model/spec/spec.h"

namespace sheaf::cli {
namespace {

constexpr std::string_view kModelKeys[] = {"name",
                                           "source",
                                           "revision",
                                           "replicas",
                                           "streams",
                                           "tensor_parallel_size",
                                           "pipeline_parallel_size",
                                           "max_batch_tokens",
                                           "max_length",
                                           "pooling",
                                           "dtype",
                                           "default_prompt_name",
                                           "default_prompt",
                                           "target",
                                           "isolation",
                                           "measured_tokens_per_s",
                                           "slices"};
constexpr std::string_view kTargetKeys[] = {"tokens_per_s", "p99_ms"};
constexpr std::string_view kIsolations[] = {"none", "memory", "full"};

// Walks one file; every function returns the error to be shown.
class Reader {
 public:
  Reader(const std::string& path, FlagSet& flags)
      : path_(path), flags_(flags), known_keys_(flags.config_keys()) {
    known_keys_.push_back("models");
  }

  Result<std::vector<ModelSetting>> read(const YAML::Node& root) {
    if (root.IsNull()) return std::move(models_);
    if (!root.IsMap()) return error_at(root, "the file is not a map of keys to values");
    SHEAF_TRY(read_map(root, ""));
    return std::move(models_);
  }

 private:
  std::string where(const YAML::Node& node) const {
    return fmt::format("{}:{}", path_, node.Mark().line + 1);
  }

  Error error_at(const YAML::Node& node, std::string_view message) const {
    return Error{ErrorCode::invalid_argument, fmt::format("{}: {}", where(node), message)};
  }

  Error unknown_key(const YAML::Node& node, const std::string& key,
                    std::span<const std::string_view> known) const {
    std::string_view near = nearest_word(key, known);
    // A key of a section, left out or mistaken.
    const std::string name = "." + key.substr(key.rfind('.') + 1);
    for (const std::string_view other : known)
      if (other.ends_with(name)) near = other;
    return error_at(node, near.empty()
                              ? fmt::format("unknown key '{}'", key)
                              : fmt::format("unknown key '{}'; did you mean '{}'?", key, near));
  }

  // What an unknown key may have been meant to be: keys and the names of sections.
  std::vector<std::string_view> nameable_keys() const {
    std::vector<std::string_view> names(known_keys_.begin(), known_keys_.end());
    for (std::string_view key : known_keys_)
      if (const std::size_t dot = key.find('.'); dot != key.npos)
        names.push_back(key.substr(0, dot));
    return names;
  }

  bool is_section(const std::string& key) const {
    for (const std::string& known : known_keys_)
      if (known.starts_with(key + ".")) return true;
    return false;
  }

  Status read_map(const YAML::Node& map, const std::string& prefix) {
    for (const auto& pair : map) {
      const std::string key = prefix + pair.first.as<std::string>();
      SHEAF_TRY(read_entry(pair.first, key, pair.second));
    }
    return {};
  }

  Status read_entry(const YAML::Node& key_node, const std::string& key, const YAML::Node& value) {
    if (key == "models") return read_models(value);
    if (is_section(key)) {
      if (value.IsNull()) return {};
      if (!value.IsMap()) return error_at(value, fmt::format("'{}' is not a map", key));
      return read_map(value, key + ".");
    }
    if (std::find(known_keys_.begin(), known_keys_.end(), key) == known_keys_.end())
      return unknown_key(key_node, key, nameable_keys());
    if (value.IsNull()) return {};  // "key:" with nothing behind it: as if absent
    if (!value.IsScalar()) return error_at(value, fmt::format("'{}' is not a single value", key));
    flags_.take_file_value(key, value.as<std::string>(), where(value));
    return {};
  }

  Status read_models(const YAML::Node& list) {
    if (!list.IsSequence()) return error_at(list, "'models' is not a list");
    for (const auto& node : list) {
      if (node.IsScalar()) {
        models_.push_back(parse_model_argument(node.as<std::string>()));
        continue;
      }
      if (!node.IsMap()) return error_at(node, "a model is neither a name nor a map");
      ModelSetting model;
      for (const auto& pair : node) SHEAF_TRY(read_model_key(pair.first, pair.second, model));
      if (model.source.empty()) return error_at(node, "a model has no 'source'");
      models_.push_back(std::move(model));
    }
    return {};
  }

  Status read_model_key(const YAML::Node& key_node, const YAML::Node& value, ModelSetting& model) {
    const std::string key = key_node.as<std::string>();
    if (std::find(std::begin(kModelKeys), std::end(kModelKeys), key) == std::end(kModelKeys))
      return unknown_key(key_node, key, kModelKeys);
    if (key == "target") return read_target(value, model);
    if (key == "slices") return read_slices(value, model);
    if (!value.IsScalar())
      return error_at(key_node, fmt::format("models: '{}' is not a single value", key));
    const std::string text = value.as<std::string>();
    if (key == "name") model.name = text;
    if (key == "source") model.source = text;
    if (key == "revision") model.revision = text;
    if (key == "default_prompt_name") model.default_prompt_name = text;
    if (key == "default_prompt") model.default_prompt = text;
    if (key == "pooling")
      return read_checked(value, key, text, model::check_pooling, model.pooling);
    if (key == "replicas")
      return read_checked(value, key, text, check_replicas_setting, model.replicas);
    if (key == "streams")
      return read_checked(value, key, text, check_streams_setting, model.streams);
    if (key == "dtype") return read_checked(value, key, text, check_dtype, model.dtype);
    if (key == "max_batch_tokens") return read_number(value, key, model.max_batch_tokens, {});
    if (key == "max_length") return read_number(value, key, model.max_length, {});
    if (key == "tensor_parallel_size") return read_number(value, key, model.ranks, {1, kRanksMax});
    if (key == "pipeline_parallel_size")
      return read_number(value, key, model.stages, {1, kRanksMax});
    if (key == "measured_tokens_per_s") return read_real(value, key, model.measured_tokens_per_s);
    if (key == "isolation") return read_isolation(value, text, model.isolation);
    return {};
  }

  Status read_target(const YAML::Node& map, ModelSetting& model) {
    if (!map.IsMap()) return error_at(map, "models: 'target' is not a map");
    for (const auto& pair : map) {
      const std::string key = pair.first.as<std::string>();
      if (std::find(std::begin(kTargetKeys), std::end(kTargetKeys), key) == std::end(kTargetKeys))
        return unknown_key(pair.first, key, kTargetKeys);
      double& target = key == "p99_ms" ? model.target_p99_ms : model.target_tokens_per_s;
      SHEAF_TRY(read_real(pair.second, "target." + key, target));
    }
    return {};
  }

  // A list of names, or one; numbers are cards.
  Status read_slices(const YAML::Node& value, ModelSetting& model) {
    if (value.IsScalar()) {
      model.slices = {value.as<std::string>()};
      return {};
    }
    if (!value.IsSequence()) return error_at(value, "models: 'slices' is not a list");
    for (const auto& node : value) {
      if (!node.IsScalar()) return error_at(node, "models: a slice is not a single value");
      model.slices.push_back(node.as<std::string>());
    }
    return {};
  }

  Status read_isolation(const YAML::Node& value, const std::string& text,
                        std::string& setting) const {
    if (std::find(std::begin(kIsolations), std::end(kIsolations), text) == std::end(kIsolations))
      return error_at(
          value, fmt::format("models: isolation: '{}' is not one of none, memory, full", text));
    setting = text;
    return {};
  }

  Status read_real(const YAML::Node& value, const std::string& key, double& number) const {
    if (!value.IsScalar())
      return error_at(value, fmt::format("models: '{}' is not a single value", key));
    const Status read = positive_real(number).set(value.as<std::string>());
    if (read.ok()) return {};
    return error_at(value, fmt::format("models: {}: {}", key, read.error().message));
  }

  Status read_checked(const YAML::Node& value, const std::string& key, const std::string& text,
                      Status (*check)(std::string_view),
                      std::optional<std::string>& setting) const {
    if (const Status known = check(text); !known.ok())
      return error_at(value, fmt::format("models: {}: {}", key, known.error().message));
    setting = text;
    return {};
  }

  struct Range {
    std::uint32_t least = 0, most = 1u << 30;
  };
  Status read_number(const YAML::Node& value, const std::string& key,
                     std::optional<std::uint32_t>& number, Range range) const {
    const auto parsed = parse_whole_number(value.as<std::string>(), range.least, range.most);
    if (!parsed.ok())
      return error_at(value, fmt::format("models: {}: {}", key, parsed.error().message));
    number = static_cast<std::uint32_t>(*parsed);
    return {};
  }

  const std::string& path_;
  FlagSet& flags_;
  std::vector<std::string> known_keys_;
  std::vector<ModelSetting> models_;
};

}  // namespace

Result<std::vector<ModelSetting>> parse_config(const std::string& yaml, const std::string& path,
                                               FlagSet& flags) {
  try {
    return Reader(path, flags).read(YAML::Load(yaml));
  } catch (const YAML::Exception& error) {
    return Error{ErrorCode::invalid_argument, fmt::format("{}:{}:{}: {}", path, error.mark.line + 1,
                                                          error.mark.column + 1, error.msg)};
  }
}

Result<std::vector<ModelSetting>> read_config_file(const std::string& path, FlagSet& flags) {
  std::ifstream file(path);
  if (!file) return errno_error(path, errno);
  std::stringstream content;
  content << file.rdbuf();
  if (file.bad() || !content) return Error{ErrorCode::io, path + ": cannot be read as a file"};
  return parse_config(content.str(), path, flags);
}

}  // namespace sheaf::cli
