// Any bytes as the body of POST /v1/plan: it is answered once, with a plan or with whose fault it
// is, and never with a broken invariant.
#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>

#include "base/log.h"
#include "cli/plan_service.h"

namespace {

constexpr char kConfig[] =
    R"({"model_type":"bert","architectures":["BertModel"],"hidden_size":32,"num_hidden_layers":1,)"
    R"("num_attention_heads":2,"intermediate_size":64,"vocab_size":100,"type_vocab_size":2,)"
    R"("max_position_embeddings":64,"hidden_act":"gelu","layer_norm_eps":1e-12})";
constexpr char kHeader[] =
    R"({"embeddings.word_embeddings.weight":{"dtype":"F32","shape":[100,32],"data_offsets":[0,12800]}})";

// A model of which nothing but its shape is there, in a folder that this process leaves behind.
std::string make_model() {
  std::string name = std::filesystem::temp_directory_path().string() + "/sheaf-plan-XXXXXX";
  const std::string folder = mkdtemp(name.data());
  std::ofstream(folder + "/config.json") << kConfig;
  std::ofstream(folder + "/tokenizer.json") << "{}";
  const std::string header = kHeader;
  const std::uint64_t size = header.size();
  std::ofstream weights(folder + "/model.safetensors", std::ios::binary);
  weights.write(reinterpret_cast<const char*>(&size), sizeof size);
  weights << header << std::string(12'800, '\0');
  return folder;
}

// Without cards and without models of others, so that an input means the same everywhere.
struct Surface {
  Surface() {
    setenv("SHEAF_NVML", "/no/such/libnvidia-ml.so.1", 1);
    setenv("HF_HUB_OFFLINE", "1", 1);
    setenv("HF_HUB_CACHE", "/dev/null/models", 1);
    setenv("SHEAF_CACHE", "/dev/null/sheaf", 1);
    sheaf::set_log_options({.level = sheaf::LogLevel::off});
  }
  sheaf::cli::PlanService plans{{{"a", make_model()}}};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Surface surface;
  std::promise<sheaf::Result<std::string>> answer;
  surface.plans.ask(std::string(reinterpret_cast<const char*>(data), size),
                    [&](sheaf::Result<std::string> given) { answer.set_value(std::move(given)); });
  const auto given = answer.get_future().get();
  if (!given.ok() && given.error().code == sheaf::ErrorCode::internal) std::abort();
  return 0;
}
