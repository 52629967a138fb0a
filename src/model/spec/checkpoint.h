#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "model/spec/safetensors.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// A file of weights beside the transformer's own: of a module or a head.
struct PartFile {
  std::string path;    // within the model's folder
  std::string prefix;  // that its tensors' names get
};
std::vector<PartFile> files_of_parts(const ModelSpec& spec);

// A tensor of a model's folder. Those of a part behind the transformer bear its prefix:
// "2_Dense/linear.weight", "sparse_linear.weight". Those that PyTorch stores as parametrized bear
// the name of the weight.
struct StoredTensor {
  std::string name;
  std::string file;  // the path of its file
  TensorEntry entry;
  const std::byte* data = nullptr;  // entry.bytes long, not aligned
};

// All tensors of a model's folder: model.safetensors, or the shards that
// model.safetensors.index.json names, and the files of parts. Files are mapped, and only
// their headers read. Weights of PyTorch are refused: reading a pickle can run code.
class Checkpoint {
 public:
  // Errors name the file. Every tensor of an index is in the shard that it names and in no other;
  // tensors of shards that the index leaves out are left out.
  static Result<Checkpoint> open(const std::string& folder, const std::vector<PartFile>& parts);

  const StoredTensor* find(std::string_view name) const;                 // null if absent
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // by name

 private:
  // Maps a file and reads its table; the mapping is kept.
  Result<TensorTable> map(const std::string& path);
  Status add_whole(const std::string& path, const std::string& prefix);
  Status add_shards(const std::string& folder, const std::map<std::string, std::string>& shard_of);
  // A tensor of the file mapped last.
  void add(const std::string& prefix, const std::string& path, const TensorEntry& entry);

  std::vector<Mapping> files_;
  std::vector<StoredTensor> tensors_;
};

// The names of the files in `folder` that hold the transformer's weights, whether they exist or
// not: the shards if an index is there and model.safetensors is not. By name.
Result<std::vector<std::string>> weight_files(const std::string& folder);

// What helps where there are no weights that Checkpoint takes.
extern const char* const kPickleRemedy;

}  // namespace sheaf::model
