// Any bytes as one of the configuration files of a model's folder, the others being good: refused,
// or a spec of which later computations need fear no overflow.
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

constexpr std::array<std::pair<const char*, std::string_view>, 6> kFiles = {{
    {"config.json",
     R"({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 16, "vocab_size": 10, "max_position_embeddings": 32})"},
    {"modules.json",
     R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
         {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])"},
    {"1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})"},
    {"sentence_bert_config.json", R"({"max_seq_length": 16})"},
    {"tokenizer_config.json", R"({"model_max_length": 512})"},
    {"config_sentence_transformers.json", R"({"prompts": {"query": "query: "}})"},
}};

// A model's folder with all of them and weights without a tensor; gone at the end.
class Folder {
 public:
  Folder() {
    if (::mkdtemp(path_) == nullptr) std::abort();
    std::filesystem::create_directory(path() + "/1_Pooling");
    for (const auto& [name, content] : kFiles) write(name, content);
    write("model.safetensors", std::string_view("\x02\0\0\0\0\0\0\0{}", 10));
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

}  // namespace

// The first byte says which file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const auto& [name, good] = kFiles[data[0] % kFiles.size()];
  folder.write(name, {reinterpret_cast<const char*>(data + 1), size - 1});
  const auto spec = sheaf::model::read_spec(folder.path());
  if (spec.ok() && sheaf::model::working_set_bytes(*spec, 16'384) > 1ull << 50) std::abort();
  folder.write(name, good);
  return 0;
}
