// Any bytes as one of the configuration files of a model's folder, the others being good: refused,
// or a spec of which later computations need fear no overflow. No name of a file leaves the folder.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "model/spec/spec.h"

namespace {

constexpr std::array<std::pair<const char*, std::string_view>, 8> kFiles = {{
    {"config.json",
     R"({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 16, "vocab_size": 10, "max_position_embeddings": 32})"},
    {"modules.json",
     R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
         {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
         {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}])"},
    {"1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})"},
    {"sentence_bert_config.json", R"({"max_seq_length": 16})"},
    {"tokenizer_config.json", R"({"model_max_length": 512})"},
    {"config_sentence_transformers.json", R"({"prompts": {"query": "query: "}})"},
    {"2_Dense/config.json", R"({"in_features": 8, "out_features": 4})"},
    {"model.safetensors.index.json", R"({"weight_map": {"w": "model-1.safetensors"}})"},
}};

// A safetensors file of one number.
std::string weights() {
  const std::string header = R"({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  return file + header + std::string(4, '\0');
}

// A model's folder with all of them and next to no weights; gone at the end.
class Folder {
 public:
  Folder() {
    if (::mkdtemp(path_) == nullptr) std::abort();
    for (const char* name : {"/1_Pooling", "/2_Dense"})
      std::filesystem::create_directory(path() + name);
    for (const auto& [name, content] : kFiles) write(name, content);
    for (const char* name : {"model-1.safetensors", "2_Dense/model.safetensors"})
      write(name, weights());
    if (!sheaf::model::read_spec(path()).ok()) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_; }
  void write(const char* name, std::string_view content) const {
    std::ofstream(path() + "/" + name, std::ios::binary | std::ios::trunc) << content;
  }

 private:
  char path_[32] = "/tmp/sheaf-spec-fuzz-XXXXXX";
};

bool leaves(const std::filesystem::path& path) {
  return path.is_absolute() || *path.lexically_normal().begin() == "..";
}

}  // namespace

// The first byte says which file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const auto& [name, good] = kFiles[data[0] % kFiles.size()];
  folder.write(name, {reinterpret_cast<const char*>(data + 1), size - 1});
  const auto files = sheaf::model::further_files(folder.path());
  for (std::size_t i = 0; files.ok() && i < files->size(); ++i)
    if (leaves((*files)[i].path)) std::abort();
  [[maybe_unused]] const auto spec = sheaf::model::read_spec(folder.path());
  folder.write(name, good);
  return 0;
}
