#include "cli/model_files.h"

#include <fmt/core.h>

#include <memory>

#include "channel/layout.h"
#include "cli/progress_bar.h"
#include "model/spec/product_dtype.h"
#include "slices/slice.h"

namespace sheaf::cli {
namespace {

// One bar a file, as the files come one after the other.
class DownloadProgress {
 public:
  void show(const hub::Progress& progress) {
    if (progress.file != file_) {
      bar_.reset();
      file_ = progress.file;
      bar_ = std::make_unique<ProgressBar>(file_, progress.total_bytes, ProgressBar::Unit::bytes);
    }
    bar_->set_total(progress.total_bytes);
    bar_->update(progress.done_bytes);
  }

 private:
  std::string file_;
  std::unique_ptr<ProgressBar> bar_;
};

std::vector<hub::WantedFile> wanted(const std::vector<model::ModelFile>& files) {
  std::vector<hub::WantedFile> wanted;
  for (const model::ModelFile& file : files)
    wanted.push_back({file.path, file.required, file.remedy});
  return wanted;
}

}  // namespace

Result<hub::ResolvedModel> fetch_model(const std::string& source, const std::string& revision,
                                       const hub::HubOptions& hub) {
  hub::WantedFiles files;
  files.first = wanted(model::description_files());
  files.further = [](const std::string& folder) -> Result<std::vector<hub::WantedFile>> {
    SHEAF_ASSIGN(const auto further, model::further_files(folder));
    return wanted(further);
  };
  DownloadProgress bars;
  return hub::resolve_model(source, revision, files, hub,
                            [&bars](const hub::Progress& progress) { bars.show(progress); });
}

std::string describe_pooling(const model::ModelSpec& spec) {
  std::string text = spec.is_splade() ? "splade" : "";
  for (model::Pooling pooling : spec.pooling)
    text += (text.empty() ? "" : " + ") + std::string(model::name_of(pooling));
  return text + (spec.normalize ? ", normalized" : "");
}

std::vector<std::string> describe_outputs(const model::ModelSpec& spec) {
  if (spec.task() == model::Task::classify) return {fmt::format("labels: {}", spec.labels.size())};
  const auto head = [](const model::DenseSpec& dense) {
    return dense.name.empty() ? "" : fmt::format(", head {}", dense.name);
  };
  std::vector<std::string> outputs;
  if (spec.gives(model::Output::vector))
    outputs.push_back(
        fmt::format("vector: dimensions {}, pooling {}", spec.dimensions, describe_pooling(spec)));
  if (spec.gives(model::Output::sparse))
    outputs.push_back(fmt::format("sparse: words {}{}", spec.vocab_size,
                                  spec.is_splade() ? ", pooling splade" : head(spec.token_weight)));
  outputs.push_back(fmt::format("tokens: dimensions {}{}", spec.width_of(model::Output::tokens),
                                head(spec.token_vectors)));
  return outputs;
}

namespace {

// Given for this very model, a prompt that it has no use for is a mistake; given for all models it
// is for those that embed.
Status check_own_prompt(const router::ModelConfig& config) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(config.folder, config.pooling));
  if (spec.task() == model::Task::embed) return {};
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("{}: is a {}; default_prompt and default_prompt_name are for models that "
                  "embed texts",
                  config.name, model::kind_of(spec))};
}

}  // namespace

Result<router::ModelConfig> model_config(const ModelSetting& model, const ServeSettings& settings,
                                         const hub::ResolvedModel& found) {
  router::ModelConfig config;
  config.name = model.name.empty() ? found.name : model.name;
  config.folder = found.folder;
  config.revision = found.revision;
  config.max_batch_tokens = model.max_batch_tokens.value_or(settings.max_batch_tokens);
  config.max_length = model.max_length.value_or(settings.max_length);
  config.pooling = model.pooling.value_or(settings.pooling);
  SHEAF_ASSIGN(const model::ProductDtype dtype,
               model::parse_product_dtype(model.dtype.value_or(settings.dtype)));
  config.dtype = model::text_of(dtype);
  config.ranks = model.ranks.value_or(settings.ranks);
  config.stages.resize(model.stages.value_or(settings.stages));  // whose layers nobody knows yet
  const bool own_prompt = model.default_prompt_name || model.default_prompt;
  config.default_prompt_name =
      own_prompt ? model.default_prompt_name : settings.default_prompt_name;
  config.default_prompt = own_prompt ? model.default_prompt : settings.default_prompt;
  if (own_prompt) SHEAF_TRY(check_own_prompt(config));

  const std::string& replicas = model.replicas.value_or(settings.num_replicas);
  if (replicas == "auto") {
    SHEAF_ASSIGN(const slices::Machine machine, slices::detect_machine());
    config.replicas = slices::default_replicas(machine);
  } else {
    SHEAF_ASSIGN(const std::uint64_t number, parse_whole_number(replicas, 1, 1u << 16));
    config.replicas = static_cast<std::uint32_t>(number);
  }
  SHEAF_ASSIGN(config.streams, parse_streams(model.streams.value_or(settings.streams)));
  return config;
}

}  // namespace sheaf::cli
