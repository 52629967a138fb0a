#pragma once

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

// Models for tests whose products have the sizes that fp8 wants.
namespace sheaf::engine {

inline std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Rewrites a family's model in `folder` sixteen times as wide, with other random weights, so that
// all its products have the sizes that fp8 wants: with as many heads more, or with wider ones.
enum class Heads { more, wider };
inline void widen(const std::filesystem::path& folder, Heads heads) {
  constexpr std::uint64_t kTimes = 16;
  nlohmann::json config = nlohmann::json::parse(text_of_file(folder / "config.json"));
  std::vector<const char*> sizes = {"hidden_size",       "dim",        "n_embd",
                                    "intermediate_size", "hidden_dim", "n_inner"};
  if (heads == Heads::more)
    sizes.insert(sizes.end(), {"num_attention_heads", "n_heads", "n_head", "num_key_value_heads"});
  for (const char* key : sizes)
    if (config.contains(key) && config[key].is_number())
      config[key] = kTimes * config[key].get<std::uint64_t>();
  std::ofstream(folder / "config.json") << config;

  const std::string file = text_of_file(folder / "model.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  nlohmann::json header = nlohmann::json::parse(file.substr(8, length));
  header.erase("__metadata__");
  std::vector<float> values;
  std::mt19937 generator(7);
  const auto holds = [](const std::string& name, const auto&... words) {
    return ((name.find(words) != name.npos) || ...);
  };
  for (auto& [name, tensor] : header.items()) {
    auto shape = tensor["shape"].get<std::vector<std::uint64_t>>();
    const bool vector = shape.size() == 1;
    const bool rows_stay = holds(name, "embed", "relative_attention_bias", "router");
    if (!vector) shape[1] *= kTimes;
    if (vector ? !holds(name, "q_norm", "k_norm") : !rows_stay) shape[0] *= kTimes;
    const std::size_t count = vector ? shape[0] : shape[0] * shape[1];
    const float spread = vector ? 0.2f : 1 / std::sqrt(static_cast<float>(shape[1]));
    std::normal_distribution<float> normal(vector && holds(name, "orm") ? 1 : 0, spread);
    const std::size_t first = values.size();
    for (std::size_t i = 0; i < count; ++i) values.push_back(normal(generator));
    tensor = {{"dtype", "F32"},
              {"shape", shape},
              {"data_offsets", {first * sizeof(float), values.size() * sizeof(float)}}};
  }
  const std::string text = header.dump();
  length = text.size();
  std::ofstream out(folder / "model.safetensors", std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), 8) << text;
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
}

// A family's model made so, while this lives.
class WideModel {
 public:
  explicit WideModel(const std::string& family)
      : folder_(std::filesystem::temp_directory_path() /
                ("sheaf_wide_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(SHEAF_SOURCE_DIR "/tests/golden/families/" + family + "/model", folder_,
                          std::filesystem::copy_options::recursive);
    std::ofstream(folder_ / "modules.json")
        << R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},)"
        << R"({"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";
    widen(folder_, Heads::more);
  }
  ~WideModel() { std::filesystem::remove_all(folder_); }
  WideModel(const WideModel&) = delete;
  WideModel& operator=(const WideModel&) = delete;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

}  // namespace sheaf::engine
