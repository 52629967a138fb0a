#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "cli/auto_settings.h"
#include "cli/command.h"
#include "cli/model_files.h"
#include "cli/model_memory.h"
#include "cli/placing.h"
#include "cli/replica_program.h"
#include "cli/serve_settings.h"
#include "cli/service.h"
#include "cli/start_signals.h"
#include "cli/table.h"
#include "cli/version.h"
#include "router/served_model.h"
#include "slices/mps_user.h"

// `sheaf serve`: settings and files of models in, a running Service out.
namespace sheaf::cli {
namespace {

// Every connection is a descriptor, and 1024 is what shells give by default.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint32_t milliseconds(TimeUs us) { return static_cast<std::uint32_t>(us / 1000); }

server::ServerOptions server_options(const ServeSettings& settings) {
  server::ServerOptions options;
  options.host = settings.host;
  options.http_port = static_cast<std::uint16_t>(settings.port);
  options.grpc_port = static_cast<std::uint16_t>(settings.grpc_port);
  options.header_bytes_max = settings.max_header_bytes;
  options.body_bytes_max = settings.max_body_bytes;
  options.bodies_bytes_max = settings.max_bodies_bytes;
  options.grpc_message_bytes_max = settings.max_grpc_bytes;
  options.connections_max = settings.max_connections;
  options.header_timeout_ms = milliseconds(settings.header_timeout_us);
  options.body_timeout_ms = milliseconds(settings.body_timeout_us);
  options.idle_timeout_ms = milliseconds(settings.idle_timeout_us);
  options.drain_timeout_ms = milliseconds(settings.drain_timeout_us);
  options.api.api_keys = settings.api_keys;
  options.api.cors_allow_origin = settings.cors_allow_origin;
  options.api.allow_token_ids = settings.allow_token_ids;
  options.api.auto_truncate = settings.auto_truncate;
  options.api.version = kVersion;
  return options;
}

Result<ModelMemory> memory_for(const std::string& program, const router::ModelConfig& config) {
  const std::uint32_t cores = std::max(std::thread::hardware_concurrency(), 1u);
  const std::uint32_t processes = std::max(config.replicas, 1u) * config.processes();
  const std::uint32_t threads = std::max(cores / processes, 1u);
  return memory_of(program,
                   {config.folder, config.pooling, config.dtype, config.ranks, config.stages},
                   config.max_batch_tokens, static_cast<int>(threads), config.streams);
}

// "--device auto is the processor: there is no sheaf-replica-cuda beside …"
std::string describe_auto(const Computers& computers) {
  return "--device auto is the processor: " + computers.no_cards_because;
}

// What serves: the daemons outlive the router, whose replicas are their clients.
struct Serving {
  std::unique_ptr<slices::MpsUser> mps;  // where replicas need daemons
  router::RouterOptions options;
};

// Models that share a card were measured each by itself: where they do not fit together, those
// whose streams nobody said have one.
Result<Placing> place_together(const ServeSettings& settings, const Computers& computers,
                               std::vector<router::ModelConfig>& configs,
                               const std::vector<ReplicasOnDevice>& on_devices) {
  auto placing = place_models(settings, computers, configs, on_devices);
  bool gave_up = false;
  for (std::size_t i = 0; i < configs.size() && !placing.ok(); ++i) {
    const bool said = settings.models[i].streams.value_or(settings.streams) != "auto";
    if (!said && std::exchange(configs[i].streams, 1) > 1) gave_up = true;
  }
  if (!gave_up) return placing;
  return place_models(settings, computers, configs, on_devices);
}

Status place(const ServeSettings& settings, const Computers& computers,
             const std::vector<ReplicasOnDevice>& on_devices, Serving& serving) {
  router::RouterOptions& options = serving.options;
  SHEAF_ASSIGN(Placing placing, place_together(settings, computers, options.models, on_devices));
  for (const std::string& warning : placing.warnings) log(LogLevel::warn, "{}", warning);
  for (const slices::PlacedReplica& replica : placing.placement.replicas)
    if (replica.slice.kind != slices::SliceKind::cores)
      log(LogLevel::info, "model {}: a replica on {} ({}), {} needed of {}",
          options.models[replica.wish].name, replica.slice.name, replica.slice.uuid,
          human_bytes(static_cast<double>(replica.needed_bytes)),
          human_bytes(static_cast<double>(replica.slice.memory_bytes)));
  if (computers.cards) options.card_program = computers.cards->path;
  options.placement = std::move(placing.placement);
  if (!placing.needs_mps) return {};
  SHEAF_ASSIGN(serving.mps, slices::MpsUser::start(options.placement));
  options.want_mps = [user = serving.mps.get()](const std::string& uuid) { user->want(uuid); };
  return {};
}

Error named_twice(const std::string& name) {
  return {ErrorCode::invalid_argument, "two models are to be served as " + name};
}

struct PreparedModels {
  std::vector<router::ModelConfig> configs;
  std::vector<ReplicasOnDevice> on_devices;  // by model
};

// Downloads them where need be. What can be refused is, of all, before the first is measured.
Result<std::vector<router::ModelConfig>> fetch_models(const ServeSettings& settings,
                                                      const Computers& computers) {
  const auto hub = hub::HubOptions::from_environment();
  std::vector<router::ModelConfig> configs;
  for (const ModelSetting& model : settings.models) {
    SHEAF_ASSIGN(const auto found, fetch_model(model.source, model.revision, hub));
    SHEAF_ASSIGN(router::ModelConfig config, model_config(model, settings, found));
    SHEAF_TRY(check_ranks(settings, model, config, computers));
    SHEAF_TRY(check_streams(settings, model, config, computers));
    SHEAF_ASSIGN(const KnownDtype dtype, known_dtype(settings, model, config, computers));
    if (!dtype.settled) SHEAF_TRY(router::ServedModel::load(config));
    if (std::ranges::find(configs, config.name, &router::ModelConfig::name) != configs.end())
      return named_twice(config.name);
    configs.push_back(std::move(config));
  }
  if (!computers.computes_on_cards()) {  // where room does not depend on the dtype
    auto placed = configs;
    SHEAF_TRY(place_models(settings, computers, placed));
  }
  return configs;
}

// Fetches them and measures in what they are computed best, and by how many replicas: minutes.
Result<PreparedModels> prepare_models(const ServeSettings& settings, const Computers& computers) {
  const StartSignals signals;
  PreparedModels models;
  SHEAF_ASSIGN(models.configs, fetch_models(settings, computers));
  for (std::size_t i = 0; i < models.configs.size(); ++i) {
    const ModelSetting& model = settings.models[i];
    router::ModelConfig& config = models.configs[i];
    SHEAF_ASSIGN(config.dtype, measured_dtype(settings, model, config, computers));
    SHEAF_ASSIGN(const std::string map, map_layers(settings, model, computers, config));
    if (!map.empty()) log(LogLevel::info, "model {}: {}", config.name, map);
    SHEAF_ASSIGN(KnownReplicas replicas,
                 measured_replicas(settings, model, config, computers, signals));
    config.streams = replicas.streams;
    models.on_devices.push_back(std::move(replicas.on_device));
  }
  return models;
}

Result<Serving> prepare(const ServeSettings& settings) {
  Serving serving;
  router::RouterOptions& options = serving.options;
  SHEAF_ASSIGN(const Computers computers, find_computers(settings));
  if (!computers.no_cards_because.empty()) log(LogLevel::info, "{}", describe_auto(computers));
  options.replica_program = computers.replica_program;
  options.policy = core::parse_policy(settings.load_balancing).value();
  options.request_timeout_us = settings.request_timeout_us;
  options.max_texts = settings.max_texts;
  options.queue_tokens_max = settings.queue_tokens;
  SHEAF_ASSIGN(PreparedModels models, prepare_models(settings, computers));
  options.models = std::move(models.configs);
  SHEAF_TRY(place(settings, computers, models.on_devices, serving));
  for (std::size_t i = 0; i < options.models.size(); ++i) {
    const router::ModelConfig& config = options.models[i];
    SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, settings.models[i], computers));
    SHEAF_ASSIGN(const ModelMemory memory, memory_for(computers.program_for(on_cards), config));
    log(LogLevel::info, "model {}, replicas {}: {}", config.name, config.replicas,
        describe(memory));
  }
  return serving;
}

struct CheckedModel {
  std::string id;
  std::optional<router::ModelConfig> config = {};  // nothing: its files are not on this machine
  ReplicasOnDevice on_device = {};
  std::string kind = {};
  std::uint32_t max_length = 0;
  std::string details = {};  // lines
};

CheckedModel say_not_seen(const ModelSetting& model) {
  fmt::print(
      "model {}: there is no such folder, so it is taken for a hub name. It is\n"
      "  not on this machine and nothing of it was looked at: `sheaf serve` would\n"
      "  download it\n",
      model.source);
  if (const std::string similar = hub::similar_folder(model.source); !similar.empty())
    fmt::print("  did you mean the folder {}?\n", similar);
  return {model.name.empty() ? model.source : model.name};
}

// What can be known of a model without starting it.
Result<CheckedModel> check_model(const ModelSetting& model, const ServeSettings& settings,
                                 const Computers& computers) {
  auto hub = hub::HubOptions::from_environment();
  const bool may_download = !hub.offline && hub::is_hub_name(model.source);
  hub.offline = true;
  const auto found = fetch_model(model.source, model.revision, hub);
  if (!found.ok()) {
    if (!may_download || found.error().code != ErrorCode::not_found) return found.error();
    return say_not_seen(model);
  }
  SHEAF_ASSIGN(auto config, model_config(model, settings, *found));
  SHEAF_TRY(check_ranks(settings, model, config, computers));
  SHEAF_TRY(check_streams(settings, model, config, computers));
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  const std::string& program = computers.program_for(on_cards);
  SHEAF_ASSIGN(const KnownDtype dtype, known_dtype(settings, model, config, computers));
  config.dtype = dtype.dtype;
  SHEAF_ASSIGN(const std::string map, map_layers(settings, model, computers, config));
  SHEAF_ASSIGN(const auto served, router::ServedModel::load(config));
  const router::ModelInfo& info = served->info();
  SHEAF_ASSIGN(KnownReplicas replicas, known_replicas(settings, model, config, computers));
  config.streams = replicas.streams;
  SHEAF_ASSIGN(const ModelMemory memory, memory_for(program, config));
  std::string lines;
  for (const std::string& output : describe_outputs(info.spec)) lines += wrapped("  " + output, 4);
  constexpr std::string_view kNotYet = "auto, measured at the first start";
  lines += fmt::format("  dtype: {}\n", dtype.settled ? config.dtype : kNotYet);
  if (!replicas.settled) lines += fmt::format("  replicas a card: {}\n", kNotYet);
  if (config.streams > 1) lines += fmt::format("  streams of each: {}\n", config.streams);
  lines += wrapped("  memory: " + describe(memory), 4);
  lines += fmt::format("  folder: {}\n", config.folder);  // whole, to be copied
  if (!map.empty()) lines += wrapped("  " + map, 4);
  for (const std::string& note : notes_on(info.spec)) lines += wrapped("  " + note, 4);
  return CheckedModel{config.name,
                      config,
                      std::move(replicas.on_device),
                      std::string(model::kind_of(info.spec)),
                      info.max_length,
                      lines};
}

void print_checked(const std::vector<CheckedModel>& models) {
  for (const CheckedModel& model : models)
    if (model.config)
      fmt::print("{}{}",
                 wrapped(fmt::format("model {}: {}, replicas {}, tokens a text {}", model.id,
                                     model.kind, model.config->replicas, model.max_length),
                         2),
                 model.details);
}

// The table of where all of them run; sets their numbers of replicas.
Result<std::string> check_placement(const ServeSettings& settings, const Computers& computers,
                                    std::vector<CheckedModel>& models) {
  std::vector<router::ModelConfig> configs;
  std::vector<ReplicasOnDevice> on_devices;
  for (const CheckedModel& model : models) {
    configs.push_back(*model.config);
    on_devices.push_back(model.on_device);
  }
  SHEAF_ASSIGN(const Placing placing, place_together(settings, computers, configs, on_devices));
  for (std::size_t i = 0; i < models.size(); ++i) models[i].config->replicas = configs[i].replicas;
  std::string text = table_of(placing, configs);
  if (!computers.no_cards_because.empty()) text += wrapped(describe_auto(computers), 2);
  for (const std::string& warning : placing.warnings) text += wrapped(warning, 2);
  if (placing.needs_mps) {
    SHEAF_ASSIGN(const auto missing, slices::MpsUser::missing(placing.placement));
    for (const slices::Slice& slice : missing)
      text += fmt::format("slice {} has no MPS daemon: `sheaf serve` starts one\n", slice.name);
  }
  return text;
}

// How many models were not seen.
Result<std::size_t> check_models(const ServeSettings& settings, const Computers& computers) {
  std::set<std::string> ids;
  std::vector<CheckedModel> models;
  std::size_t not_seen = 0;
  for (const ModelSetting& model : settings.models) {
    SHEAF_ASSIGN(CheckedModel checked, check_model(model, settings, computers));
    if (!ids.insert(checked.id).second) return named_twice(checked.id);
    not_seen += checked.config ? 0 : 1;
    models.push_back(std::move(checked));
  }
  std::string placement;  // that of one depends on all the others
  if (not_seen == 0) {
    SHEAF_ASSIGN(placement, check_placement(settings, computers, models));
  }
  print_checked(models);
  fmt::print("{}", placement);
  return not_seen;
}

// Layers that a model does not have were asked for, as `sheaf plan` would say.
ExitCode code_of(const Error& error) { return error.param == "dtype" ? kExitUsage : kExitFailed; }

int check(const ServeFlags& flags) {
  const ServeSettings& settings = flags.settings();
  const auto computers = find_computers(settings);
  if (!computers.ok()) return fail("serve", computers.error());
  const auto not_seen = check_models(settings, *computers);
  if (!not_seen.ok()) return fail("serve", not_seen.error(), code_of(not_seen.error()));
  fmt::print("{}", wrapped("defaults: " + describe_defaults(flags), 2));
  fmt::print("settings are valid; {}nothing was started\n",
             *not_seen == 0 ? "" : fmt::format("models not looked at: {}; ", *not_seen));
  return kExitOk;
}

int serve(const ServeFlags& flags, TimeUs started_us) {
  const ServeSettings& settings = flags.settings();
  // A model may take minutes to fetch and to measure, and a port in use makes that vain.
  if (const Status free = server::Server::check_ports(server_options(settings)); !free.ok())
    return fail("serve", free.error());
  auto serving = prepare(settings);
  if (!serving.ok()) return fail("serve", serving.error(), code_of(serving.error()));
  // One carried 4,000 requests of 16 texts a second (docs/benchmarks/serve.json, "router"); the
  // cores are the replicas'.
  const std::uint32_t cores = std::max(std::thread::hardware_concurrency(), 1u);
  const std::uint32_t threads = settings.threads == 0 ? (cores + 3) / 4 : settings.threads;
  auto service =
      Service::create(std::move(serving->options), server_options(settings), threads, started_us);
  if (!service.ok()) return fail("serve", service.error());
  log(LogLevel::debug, "defaults: {}", describe_defaults(flags));  // --check says them too
  return (*service)->run() == Service::End::drained ? kExitOk : kExitFailed;
}

// A misspelt variable would else be ignored in silence. Those of the clients, and of tests and
// scripts, are known.
void warn_of_unknown_variables(const FlagSet& flags) {
  constexpr std::string_view kOthers[] = {"SHEAF_API_KEY", "SHEAF_SERVER",  "SHEAF_CACHE",
                                          "SHEAF_FAULT_",  "SHEAF_TEST_",   "SHEAF_BIN_DIR",
                                          "SHEAF_NVML",    "SHEAF_LEASE",   "SHEAF_SLICES_FOLDER",
                                          "SHEAF_SLICE",   "SHEAF_PROFILE", "SHEAF_MPS_CONTROL"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool other = std::any_of(std::begin(kOthers), std::end(kOthers),
                                   [&](std::string_view o) { return name.starts_with(o); });
    if (other) continue;
    if (const auto doubt = flags.doubt_about_variable(name)) log(LogLevel::warn, "{}", *doubt);
  }
}

}  // namespace

int serve_command(Arguments arguments) {
  const TimeUs started_us = monotonic_us();
  ServeFlags flags;
  const Status read = flags.read(arguments, [](const char* name) { return std::getenv(name); });
  if (!read.ok()) return fail("serve", read.error(), exit_code_of(read.error()));
  if (flags.flags().help_wanted()) {
    fmt::print("{}", flags.flags().help());
    return kExitOk;
  }
  const ServeSettings& settings = flags.settings();
  set_log_options({.level = *parse_log_level(settings.log_level), .json = settings.log_json});
  warn_of_unknown_variables(flags.flags());
  if (settings.check) return check(flags);
  log(LogLevel::info, "sheaf {} serves {}", kVersion, describe_given(flags));

  std::signal(SIGPIPE, SIG_IGN);  // a client that went away is an error of one write
  raise_descriptor_limit();
  return serve(flags, started_us);
}

}  // namespace sheaf::cli
