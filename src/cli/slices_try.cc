#include <fmt/format.h>

#include <csignal>
#include <memory>

#include "cli/auto_settings.h"
#include "cli/command.h"
#include "cli/embedder.h"
#include "cli/flag_value.h"
#include "cli/model_files.h"
#include "cli/placing.h"
#include "cli/replica_program.h"
#include "cli/slices.h"
#include "cli/slices_verbs.h"
#include "cli/table.h"
#include "slices/device.h"

// `sheaf slices try MODEL`: does it load and run on each card and MIG slice of this machine?
namespace sheaf::cli {
namespace {

struct TriedSlice {
  std::string slice, profile;
  std::string error;  // empty: it ran
  TimeUs load_us = 0, run_us = 0;
};

// A text through the model, in a process of its own on the slice.
Status run_once(const OfflineEmbedderOptions& options, TriedSlice& tried) {
  const TimeUs started_us = monotonic_us();
  SHEAF_ASSIGN(const std::unique_ptr<Embedder> embedder, make_offline_embedder(options));
  tried.load_us = monotonic_us() - started_us;
  TextLines lines;
  lines.texts = {"Does this slice compute?"};
  lines.places = {"the text"};
  SHEAF_TRY(embedder->submit(std::move(lines)));
  SHEAF_ASSIGN(const EmbeddedBatch batch, embedder->receive());
  tried.run_us = monotonic_us() - started_us - tried.load_us;
  if (batch.rows.size() == 1 && !batch.rows[0].empty()) return {};
  return Error{ErrorCode::internal, "the replica answered nothing"};
}

TriedSlice try_slice(OfflineEmbedderOptions options, const slices::Device& device) {
  options.environment = {"CUDA_VISIBLE_DEVICES=" + device.uuid};
  TriedSlice tried{device.name(), device.profile, ""};
  if (const Status ran = run_once(options, tried); !ran.ok()) tried.error = ran.error().message;
  return tried;
}

Result<OfflineEmbedderOptions> options_for(const ServeSettings& settings,
                                           const Computers& computers) {
  OfflineEmbedderOptions options;
  options.replica_program = computers.cards->path;
  const ModelSetting& model = settings.models.front();
  SHEAF_ASSIGN(const auto found,
               fetch_model(model.source, "", hub::HubOptions::from_environment()));
  options.name = found.name;
  options.source.folder = found.folder;
  SHEAF_ASSIGN(const router::ModelConfig config, model_config(model, settings, found));
  SHEAF_ASSIGN(KnownDtype dtype, known_dtype(settings, model, config, computers));
  options.source.dtype = std::move(dtype.dtype);
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(found.folder, ""));
  if (spec.task() == model::Task::classify)
    options.question.query = std::make_shared<const std::string>("Does it compute?");
  return options;
}

void print_table(const std::vector<TriedSlice>& all) {
  Table table({{"slice"}, {"profile", true}, {"load"}, {"run"}, {"result", true}});
  for (const TriedSlice& one : all) {
    const bool ran = one.error.empty();
    table.add_row(
        {one.slice, one.profile, ran ? human_duration(static_cast<double>(one.load_us)) : "-",
         ran ? human_duration(static_cast<double>(one.run_us)) : "-", ran ? "OK" : one.error});
  }
  fmt::print("{}", table.render());
}

void print_json(const std::vector<TriedSlice>& all) {
  auto json = nlohmann::ordered_json::array();
  for (const TriedSlice& one : all)
    json.push_back({{"slice", one.slice},
                    {"profile", one.profile},
                    {"ok", one.error.empty()},
                    {"error", one.error},
                    {"load_us", one.load_us},
                    {"run_us", one.run_us}});
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

int slices_try(const SlicesSettings& settings) {
  if (settings.words.size() != 1)
    return fail("slices", usage_error("try takes one model: a folder or a hub name"), kExitUsage);
  std::signal(SIGPIPE, SIG_IGN);  // a replica that went away is an error of one write
  ServeSettings serving;          // as `sheaf serve MODEL --device cuda` would
  serving.device = "cuda";
  serving.models = {ModelSetting{.source = settings.words[0]}};
  const auto computers = find_computers(serving, /*only_cards=*/true);
  if (!computers.ok()) return fail("slices", computers.error());
  const auto options = options_for(serving, *computers);
  if (!options.ok()) return fail("slices", options.error());
  const auto devices = slices::devices_of(computers->here.gpus);
  if (devices.empty())
    return fail("slices",
                {ErrorCode::not_found, "no card that is not cut and no MIG slice is here"});
  if (computers->here.gpus.simulated)
    fmt::print(stderr, "the cards are simulated (SHEAF_NVML): the CPU computes\n");
  std::vector<TriedSlice> all;
  bool failed = false;
  for (const slices::Device& device : devices) {
    all.push_back(try_slice(*options, device));
    failed = failed || !all.back().error.empty();
  }
  settings.json ? print_json(all) : print_table(all);
  return failed ? kExitFailed : kExitOk;
}

}  // namespace sheaf::cli
