#include "model/spec/checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/mapping.h"
#include "model/spec/shard_index.h"

namespace sheaf::model {

const char* const kPickleRemedy =
    "weights of PyTorch (.bin) are not read, since a pickle can run code; save_pretrained() of "
    "transformers or sentence-transformers writes the same model as safetensors";

namespace {

const std::string kWhole = "/model.safetensors";
const std::string kIndex = "/model.safetensors.index.json";
constexpr std::size_t kMaxIndexBytes = 64u << 20;

// PyTorch keeps what something is added to at run time (torch.nn.utils.parametrize), as LoRA's
// adapters are in jina-embeddings-v3, under a name of its own. Without the addition it is the
// weight.
std::string plain_name(const std::string& name) {
  constexpr std::string_view kEnding = ".parametrizations.weight.original";
  if (!name.ends_with(kEnding)) return name;
  return name.substr(0, name.size() - kEnding.size()) + ".weight";
}

// {tensor: shard}; empty when the weights are one file.
Result<std::map<std::string, std::string>> read_index(const std::string& folder) {
  const std::string path = folder + kIndex;
  if (file_exists(folder + kWhole) || !file_exists(path))
    return std::map<std::string, std::string>();
  SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
  if (file.size() > kMaxIndexBytes)
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: {} bytes, more than {}", path, file.size(), kMaxIndexBytes)};
  return parse_shard_index({reinterpret_cast<const char*>(file.data()), file.size()}, path);
}

// The file is about to be opened.
Status refuse_pickle(const std::string& path) {
  if (file_exists(path)) return {};
  const std::string folder = path.substr(0, path.rfind('/'));
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (file_exists(folder + "/" + name))
      return Error{
          ErrorCode::unsupported,
          fmt::format("{}: there is {} but no model.safetensors; {}", folder, name, kPickleRemedy)};
  return {};
}

}  // namespace

std::vector<PartFile> files_of_parts(const ModelSpec& spec) {
  std::vector<PartFile> files;
  for (const DenseSpec& dense : spec.dense)
    if (!dense.folder.empty()) files.push_back({dense.folder + kWhole, dense.folder + "/"});
  for (const DenseSpec* head : {&spec.token_weight, &spec.token_vectors})
    if (!head->name.empty()) files.push_back({head->name + ".safetensors", head->name + "."});
  return files;
}

Result<Checkpoint> Checkpoint::open(const std::string& folder, const std::vector<PartFile>& parts) {
  Checkpoint checkpoint;
  SHEAF_ASSIGN(const auto shard_of, read_index(folder));
  SHEAF_TRY(shard_of.empty() ? checkpoint.add_whole(folder + kWhole, "")
                             : checkpoint.add_shards(folder, shard_of));
  for (const PartFile& part : parts)
    SHEAF_TRY(checkpoint.add_whole(folder + "/" + part.path, part.prefix));
  std::ranges::sort(checkpoint.tensors_, {}, &StoredTensor::name);
  return checkpoint;
}

Result<TensorTable> Checkpoint::map(const std::string& path) {
  SHEAF_ASSIGN(Mapping file, Mapping::map_file(path));
  SHEAF_ASSIGN(TensorTable table, TensorTable::parse(std::as_const(file).bytes(), path));
  files_.push_back(std::move(file));
  return table;
}

void Checkpoint::add(const std::string& prefix, const std::string& path, const TensorEntry& entry) {
  const std::byte* data = std::as_const(files_.back()).data() + entry.begin;
  tensors_.push_back({prefix + plain_name(entry.name), path, entry, data});
}

Status Checkpoint::add_whole(const std::string& path, const std::string& prefix) {
  SHEAF_TRY(refuse_pickle(path));
  SHEAF_ASSIGN(const TensorTable table, map(path));
  for (const TensorEntry& entry : table.entries()) add(prefix, path, entry);
  return {};
}

Status Checkpoint::add_shards(const std::string& folder,
                              const std::map<std::string, std::string>& shard_of) {
  const std::string index = folder + kIndex;
  std::set<std::string> shards;
  std::set<std::string> missing;  // tensors
  for (const auto& [tensor, shard] : shard_of) {
    shards.insert(shard);
    missing.insert(tensor);
  }
  for (const std::string& shard : shards) {
    if (!file_exists(folder + "/" + shard))
      return Error{ErrorCode::not_found,
                   fmt::format("{}: its shard {} does not exist", index, shard)};
    SHEAF_ASSIGN(const TensorTable table, map(folder + "/" + shard));
    for (const TensorEntry& entry : table.entries()) {
      const auto listed = shard_of.find(entry.name);
      if (listed == shard_of.end()) continue;
      if (listed->second != shard)
        return Error{ErrorCode::corrupt, fmt::format("{}: tensor '{}' is in {}, but also in {}",
                                                     index, entry.name, listed->second, shard)};
      missing.erase(entry.name);
      add("", folder + "/" + shard, entry);
    }
  }
  if (missing.empty()) return {};
  const std::string& first = *missing.begin();
  return Error{ErrorCode::corrupt,
               fmt::format("{}: tensor '{}' is not in {}", index, first, shard_of.at(first))};
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(
      tensors_, name, {}, [](const StoredTensor& t) -> std::string_view { return t.name; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

Result<std::vector<std::string>> weight_files(const std::string& folder) {
  SHEAF_ASSIGN(const auto shard_of, read_index(folder));
  std::set<std::string> files;
  for (const auto& [tensor, shard] : shard_of) files.insert(shard);
  if (files.empty()) files.insert(kWhole.substr(1));
  return std::vector<std::string>(files.begin(), files.end());
}

}  // namespace sheaf::model
