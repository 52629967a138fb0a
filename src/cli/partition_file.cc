#include "cli/partition_file.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <string_view>

#include "slices/mig_cut.h"

namespace sheaf::cli {
namespace {

using slices::CardWish;

constexpr std::size_t kFileBytesMax = 1 << 20;

// Where a reader of one file finds fault.
struct Reader {
  const std::string& path;

  Error at(const YAML::Node& node, const std::string& why) const {
    return {ErrorCode::invalid_argument, fmt::format("{}:{}: {}", path, node.Mark().line + 1, why)};
  }
  Status check_keys(const YAML::Node& map, std::initializer_list<std::string_view> known) const {
    if (!map.IsMap()) return at(map, "here belong keys and values");
    for (const auto& pair : map) {
      const auto key = pair.first.as<std::string>();
      if (std::ranges::find(known, key) == known.end())
        return at(pair.first,
                  fmt::format("'{}' is no key here; there are {}", key, fmt::join(known, ", ")));
    }
    return {};
  }
  // A word, or a list of words.
  Result<std::vector<std::string>> words(const YAML::Node& node) const {
    if (!node) return std::vector<std::string>();
    if (node.IsScalar()) return std::vector{node.as<std::string>()};
    if (!node.IsSequence()) return at(node, "here belongs a word or a list of words");
    std::vector<std::string> found;
    for (const YAML::Node& one : node) {
      if (!one.IsScalar()) return at(one, "here belongs a word");
      found.push_back(one.as<std::string>());
    }
    return found;
  }
  Result<bool> truth(const YAML::Node& node, const YAML::Node& map, std::string_view key) const {
    bool value = false;
    if (!node) return at(map, fmt::format("'{}' is missing", key));
    if (!YAML::convert<bool>::decode(node, value))
      return at(node, fmt::format("'{}' is true or false", key));
    return value;
  }
};

Result<std::vector<std::uint32_t>> pci_ids(const Reader& reader, const YAML::Node& node) {
  std::vector<std::uint32_t> ids;
  SHEAF_ASSIGN(const auto words, reader.words(node));
  for (const std::string& word : words) {
    std::uint32_t id = 0;
    const bool hex = word.starts_with("0x") || word.starts_with("0X");
    const char* end = word.data() + word.size();
    const auto [stop, failure] = std::from_chars(word.data() + (hex ? 2 : 0), end, id, 16);
    if (!hex || failure != std::errc() || stop != end)
      return reader.at(node, fmt::format("'{}' is no device and vendor as 0x20B010DE", word));
    ids.push_back(id);
  }
  return ids;
}

// profile: count, in the order of the file.
Status read_mig_devices(const Reader& reader, const YAML::Node& devices, CardWish& wish) {
  if (!devices.IsMap()) return reader.at(devices, "mig-devices are profiles and their counts");
  for (const auto& pair : devices) {
    int count = 0;
    if (!YAML::convert<int>::decode(pair.second, count) || count < 0 || count > 64)
      return reader.at(pair.second, "here belongs a count from 0 to 64");
    if (count > 0)
      wish.instances.push_back(fmt::format("{}*{}", count, pair.first.as<std::string>()));
  }
  return {};
}

Result<CardWish> mig_parted_entry(const Reader& reader, const YAML::Node& entry) {
  SHEAF_TRY(reader.check_keys(entry, {"devices", "device-filter", "mig-enabled", "mig-devices"}));
  CardWish wish;
  if (!entry["devices"]) return reader.at(entry, "'devices' is missing: all, or a list of indexes");
  SHEAF_ASSIGN(wish.gpus, reader.words(entry["devices"]));
  SHEAF_ASSIGN(wish.pci_ids, pci_ids(reader, entry["device-filter"]));
  SHEAF_ASSIGN(wish.mig, reader.truth(entry["mig-enabled"], entry, "mig-enabled"));
  if (entry["mig-devices"]) SHEAF_TRY(read_mig_devices(reader, entry["mig-devices"], wish));
  if (!wish.mig && !wish.instances.empty())
    return reader.at(entry, "mig-devices must be empty where mig-enabled is false");
  return wish;
}

Result<YAML::Node> labelled(const Reader& reader, const YAML::Node& configs,
                            const std::string& label) {
  if (!configs.IsMap()) return reader.at(configs, "mig-configs are labels and their entries");
  std::string labels;
  for (const auto& pair : configs) {
    const auto name = pair.first.as<std::string>();
    labels += (labels.empty() ? "" : ", ") + name;
    if (name == label || (label.empty() && configs.size() == 1)) return YAML::Node(pair.second);
  }
  return reader.at(
      configs, label.empty() ? fmt::format("name one of its labels with --label: {}", labels)
                             : fmt::format("there is no label '{}'; there are {}", label, labels));
}

Result<CardWish> own_entry(const Reader& reader, const YAML::Node& entry) {
  SHEAF_TRY(reader.check_keys(entry, {"gpus", "mig", "instances"}));
  CardWish wish;
  SHEAF_ASSIGN(wish.gpus, reader.words(entry["gpus"]));
  SHEAF_ASSIGN(wish.mig, reader.truth(entry["mig"], entry, "mig"));
  SHEAF_ASSIGN(wish.instances, reader.words(entry["instances"]));
  if (!wish.mig && !wish.instances.empty()) return reader.at(entry, "instances need mig: true");
  return wish;
}

Result<std::vector<CardWish>> entries(const Reader& reader, const YAML::Node& list,
                                      Result<CardWish> (*read)(const Reader&, const YAML::Node&)) {
  if (!list.IsSequence()) return reader.at(list, "here belongs a list");
  std::vector<CardWish> wishes;
  for (const YAML::Node& entry : list) {
    SHEAF_ASSIGN(CardWish wish, read(reader, entry));
    wishes.push_back(std::move(wish));
  }
  return wishes;
}

Result<std::vector<CardWish>> read_document(const Reader& reader, const YAML::Node& root,
                                            const std::string& label) {
  if (root.IsMap() && root["mig-configs"]) {
    SHEAF_TRY(reader.check_keys(root, {"version", "mig-configs"}));
    SHEAF_ASSIGN(const YAML::Node list, labelled(reader, root["mig-configs"], label));
    return entries(reader, list, mig_parted_entry);
  }
  if (!root.IsMap() || !root["partitions"])
    return Error{
        ErrorCode::invalid_argument,
        reader.path + " holds neither mig-configs (mig-parted's) nor partitions (sheaf's)"};
  SHEAF_TRY(reader.check_keys(root, {"partitions"}));
  if (!label.empty()) return reader.at(root, "labels are of mig-parted's files");
  return entries(reader, root["partitions"], own_entry);
}

// "1c.3g.20gb@4" without its place.
std::string without_place(const std::string& word) { return word.substr(0, word.find('@')); }

std::string own_lines(const slices::Gpu& gpu, const std::vector<std::string>& words) {
  std::string text = fmt::format("  - gpus: [{}]\n    mig: {}\n", gpu.uuid, gpu.mig->current);
  if (gpu.mig->current) text += fmt::format("    instances: [{}]\n", fmt::join(words, ", "));
  return text;
}

std::string mig_parted_lines(const slices::Gpu& gpu, const std::vector<std::string>& words) {
  std::string text =
      fmt::format("      - devices: [{}]\n        mig-enabled: {}\n", gpu.index, gpu.mig->current);
  if (!gpu.mig->current) return text + "        mig-devices: {}\n";
  std::map<std::string, int> counts;
  for (const std::string& word : words) ++counts[without_place(word)];
  text += counts.empty() ? "        mig-devices: {}\n" : "        mig-devices:\n";
  for (const auto& [name, count] : counts)
    text += fmt::format("          \"{}\": {}\n", name, count);
  return text;
}

}  // namespace

Result<std::vector<CardWish>> read_partition_file(const std::string& path,
                                                  const std::string& label) {
  std::ifstream file(path);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() && !file) return Error{ErrorCode::not_found, path + " cannot be read"};
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax)
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} is larger than the {} bytes of any such file", path, kFileBytesMax)};
  return parse_partitions(text, path, label);
}

Result<std::vector<CardWish>> parse_partitions(const std::string& yaml, const std::string& path,
                                               const std::string& label) {
  const Reader reader{path};
  try {
    return read_document(reader, YAML::Load(yaml), label);
  } catch (const YAML::Exception& thrown) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}:{}:{}: {}", path, thrown.mark.line + 1, thrown.mark.column + 1,
                             thrown.msg)};
  }
}

Result<std::string> write_partitions(const std::vector<slices::Gpu>& gpus, PartitionFormat format) {
  std::string text = format == PartitionFormat::sheaf ? "partitions:\n"
                                                      : "version: v1\nmig-configs:\n    current:\n";
  bool any = false;
  for (const slices::Gpu& gpu : gpus) {
    if (!gpu.mig) continue;
    SHEAF_ASSIGN(const slices::CardState state, slices::state_of(gpu));
    const auto words =
        gpu.model == nullptr ? std::vector<std::string>() : slices::words_of(*gpu.model, state);
    text += format == PartitionFormat::sheaf ? own_lines(gpu, words) : mig_parted_lines(gpu, words);
    any = true;
  }
  if (!any) return Error{ErrorCode::unsupported, "no card of this machine can be cut by MIG"};
  return text;
}

}  // namespace sheaf::cli
