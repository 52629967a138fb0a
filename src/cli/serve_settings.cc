#include "cli/serve_settings.h"

#include <fmt/core.h>

#include <algorithm>

#include "channel/layout.h"
#include "cli/config_file.h"
#include "cli/placing.h"
#include "cli/precision.h"
#include "model/spec/spec.h"

namespace sheaf::cli {
namespace {

constexpr std::string_view kUsage = "sheaf serve MODEL... [flags]";
constexpr std::string_view kSummary =
    "Serves models. MODEL (or --model MODEL): a folder, a hub name, or name=folder.";
constexpr std::string_view kEpilogue =
    "example: SHEAF_PORT=80 sheaf serve BAAI/bge-m3; flag beats variable beats file\n";

constexpr std::uint32_t kReplicasMax = 1024;
constexpr std::uint32_t kStreamsMax = channel::kLanesMax;

void add_model_flags(FlagSet& flags, ServeSettings& s, std::vector<std::string>& models) {
  flags.add_group("Models and replicas");
  flags.add({"model", "MODEL", ""}, text_list(models));
  flags.add({"served-model-name", "S", "id of the only model", "served_model_name", "its name"},
            text(s.served_model_name));
  flags.add({"revision", "R", "commit, branch or tag on the hub", "revision", "main"},
            text(s.revision));
  flags.add({"num-replicas", "N", "copies; auto: by cores, or measured", "num_replicas"},
            checked_text(s.num_replicas, check_replicas_setting));
  flags.add(
      {"tensor-parallel-size", "N", "processes a copy is divided over", "tensor_parallel_size"},
      whole_number(s.ranks, 1, kRanksMax));
  flags.add({"pipeline-parallel-size", "N", "or its layers, in stages", "pipeline_parallel_size"},
            whole_number(s.stages, 1, kRanksMax));
  flags.add({"streams", "N", "batches at once, of a copy on a card", "streams"},
            checked_text(s.streams, check_streams_setting));
  flags.add({"device", "D", "cpu, cuda; auto: cards if there are any", "device"},
            choice(s.device, {"auto", "cpu", "cuda"}));
  flags.add({"dtype", "T", "or float32, bfloat16, int8, fp8, fp8:0,2-4", "dtype"},
            checked_text(s.dtype, check_dtype));
  flags.add({"max-length", "N", "tokens a text is cut to", "max_length", "the model's"},
            whole_number(s.max_length, 0, 1u << 20));
  flags.add({"pooling", "P", "cls, last_token, splade, rerank, ...", "pooling", "the model's"},
            checked_text(s.pooling, model::check_pooling));
  flags.add({"default-prompt-name", "P", "one of the model's prompts", "default_prompt_name",
             "the model's"},
            text(s.default_prompt_name));
  flags.add(
      {"default-prompt", "TEXT", "put before an embedder's texts", "default_prompt", "the model's"},
      text(s.default_prompt));
  flags.add({"max-batch-tokens", "N", "tokens a batch", "max_batch_tokens", "measured"},
            whole_number(s.max_batch_tokens, 0, 1u << 22));
  flags.add({"load-balancing", "P", "or least_loaded, round_robin, random", "load_balancing"},
            choice(s.load_balancing, {"predictive", "least_loaded", "round_robin", "random"}));
}

void add_slice_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({"slices", "ID,...", "where: cores:0-1, gpu:0, mig:0/3, UUIDs", "", "any"},
            text_list(s.slices));
  flags.add({"num-gpus", "N", "cards to use", "slices.gpus", "all"},
            whole_number(s.num_gpus, 1, 64));
  flags.add({"gpu-assignment", "A", "or dedicated, shared, mig, mps, time", "slices.assignment"},
            choice(s.gpu_assignment, {"auto", "dedicated", "shared", "mig", "mps", "time"}));
  flags.add(
      {"gpu-memory-utilization", "F", "share of a card or MIG slice", "slices.memory_utilization"},
      positive_real(s.gpu_memory_utilization));
}

void add_listen_flags(FlagSet& flags, ServeSettings& s) {
  flags.add_group("Listening, requests, limits");
  flags.add({"host", "H", "address to listen on", "listen.host"}, text(s.host));
  flags.add({"port", "N", "HTTP; 0: the system chooses", "listen.port"},
            whole_number(s.port, 0, 65535));
  flags.add({"grpc-port", "N", "gRPC; 0: the system chooses", "listen.grpc_port"},
            whole_number(s.grpc_port, 0, 65535));
  flags.add({"api-key", "K", "key that clients must send", "listen.api_key", "none", true},
            text_list(s.api_keys));
  flags.add(
      {"cors-allow-origin", "O", "web origins allowed, or *", "listen.cors_allow_origin", "none"},
      text_list(s.cors_allow_origin));
  flags.add({"auto-truncate", "true|false", "cut texts that are too long", "auto_truncate"},
            boolean(s.auto_truncate));
  flags.add({"allow-token-ids", "", "take token ids on the OpenAI route", "allow_token_ids"},
            boolean(s.allow_token_ids));
}

void add_limit_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({"request-timeout", "T", "of a request without its own", "limits.request_timeout"},
            duration(s.request_timeout_us));
  flags.add(
      {"queue-tokens", "N", "tokens waiting for a model", "limits.queue_tokens", "30 s, >= 1 M"},
      whole_number(s.queue_tokens, 0, 1ull << 40));
  flags.add({"max-texts", "N", "texts a request", "limits.texts"},
            whole_number(s.max_texts, 1, 1u << 20));
  flags.add({"max-body", "BYTES", "of an HTTP request", "limits.body"},
            byte_count(s.max_body_bytes));
  flags.add({"max-bodies", "BYTES", "of all HTTP requests under way", "limits.bodies"},
            byte_count(s.max_bodies_bytes));
  flags.add({"max-grpc-message", "BYTES", "of a gRPC request", "limits.grpc_message"},
            byte_count(s.max_grpc_bytes));
  flags.add({"max-header", "BYTES", "of an HTTP header", "limits.header"},
            byte_count(s.max_header_bytes));
  flags.add({"max-connections", "N", "open HTTP connections", "limits.connections"},
            whole_number(s.max_connections, 1, 1u << 20));
  flags.add({"header-timeout", "T", "for a header to arrive", "limits.header_timeout"},
            duration(s.header_timeout_us));
  flags.add({"body-timeout", "T", "for a body to arrive", "limits.body_timeout"},
            duration(s.body_timeout_us));
  flags.add({"idle-timeout", "T", "between requests of a connection", "limits.idle_timeout"},
            duration(s.idle_timeout_us));
  flags.add({"drain-timeout", "T", "for the last requests after SIGTERM", "limits.drain_timeout"},
            duration(s.drain_timeout_us));
}

void add_process_flags(FlagSet& flags, ServeSettings& s) {
  flags.add_group("Process");
  flags.add({"config", "FILE", "or -c; sample and manual: deploy/sheaf.yaml"}, text(s.config_file));
  flags.add({"check", "", "validate settings and models, start nothing"}, boolean(s.check));
  flags.add({"threads", "N", "of the router", "threads", "one for 4 cores"},
            whole_number(s.threads, 0, 256));
  flags.add({"replica-program", "FILE", "sheaf-replica", "replica_program", "beside sheaf"},
            text(s.replica_program));
  flags.add({"card-program", "FILE", "sheaf-replica-cuda", "card_program", "beside sheaf-replica"},
            text(s.card_program));
  flags.add({"log-level", "L", "debug, info, warn, error, off", "log.level"},
            choice(s.log_level, {"debug", "info", "warn", "error", "off"}));
  flags.add({"log-json", "", "log lines are JSON objects", "log.json"}, boolean(s.log_json));
}

Error setting_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

Status check_between(std::string_view flag, TimeUs value, TimeUs min, TimeUs max) {
  if (value >= min && value <= max) return {};
  return setting_error(fmt::format("--{} {}: must be {} to {}", flag, show_duration(value),
                                   show_duration(min), show_duration(max)));
}

Status check_between(std::string_view flag, std::uint64_t value, std::uint64_t min,
                     std::uint64_t max) {
  if (value >= min && value <= max) return {};
  return setting_error(fmt::format("--{} {}: must be {} to {}", flag, show_byte_count(value),
                                   show_byte_count(min), show_byte_count(max)));
}

// What the listeners can keep: they count milliseconds in 32 bits, and grpc++ bytes in 31.
Status check_limits(const ServeSettings& s) {
  constexpr TimeUs kShortest = 1'000, kDay = 86'400'000'000;
  constexpr std::uint64_t kLeast = 1 << 10, kGiB = 1 << 30;
  SHEAF_TRY(check_between("request-timeout", s.request_timeout_us, kShortest, kDay));
  SHEAF_TRY(check_between("header-timeout", s.header_timeout_us, kShortest, kDay));
  SHEAF_TRY(check_between("body-timeout", s.body_timeout_us, kShortest, kDay));
  SHEAF_TRY(check_between("idle-timeout", s.idle_timeout_us, kShortest, kDay));
  SHEAF_TRY(check_between("drain-timeout", s.drain_timeout_us, TimeUs{0}, kDay));
  SHEAF_TRY(check_between("max-body", s.max_body_bytes, kLeast, kGiB));
  SHEAF_TRY(check_between("max-bodies", s.max_bodies_bytes, s.max_body_bytes, 1024 * kGiB));
  SHEAF_TRY(check_between("max-grpc-message", s.max_grpc_bytes, kLeast, kGiB));
  return check_between("max-header", s.max_header_bytes, kLeast, kGiB);
}

}  // namespace

Status check_replicas_setting(std::string_view setting) {
  if (setting == "auto") return {};
  const auto number = parse_whole_number(setting, 1, kReplicasMax);
  return number.ok() ? Status() : setting_error(number.error().message + ", nor auto");
}

Status check_streams_setting(std::string_view setting) {
  SHEAF_TRY(parse_streams(setting));
  return {};
}

Result<std::uint32_t> parse_streams(std::string_view setting) {
  if (setting == "auto") return 1u;
  const auto number = parse_whole_number(setting, 1, kStreamsMax);
  if (!number.ok()) return setting_error(number.error().message + ", nor auto");
  return static_cast<std::uint32_t>(*number);
}

ModelSetting parse_model_argument(std::string_view argument) {
  ModelSetting model;
  const std::size_t equals = argument.find('=');
  const bool named = equals != argument.npos && equals > 0 && equals + 1 < argument.size();
  if (named) model.name = argument.substr(0, equals);
  model.source = argument.substr(named ? equals + 1 : 0);
  return model;
}

ServeFlags::ServeFlags() : flags_(std::string(kUsage), std::string(kSummary)) {
  flags_.add_positional("MODEL", positional_);
  add_model_flags(flags_, settings_, model_flag_);
  add_slice_flags(flags_, settings_);
  add_listen_flags(flags_, settings_);
  add_limit_flags(flags_, settings_);
  add_process_flags(flags_, settings_);
  flags_.set_epilogue(std::string(kEpilogue));
}

Status ServeFlags::read(std::span<const std::string> arguments,
                        const std::function<const char*(const char*)>& environment) {
  SHEAF_TRY(flags_.take_arguments(arguments));
  if (flags_.help_wanted()) return {};
  flags_.take_environment(environment);
  std::vector<ModelSetting> of_file;
  if (const auto path = flags_.given("config")) {
    SHEAF_ASSIGN(of_file, read_config_file(*path, flags_));
  }
  SHEAF_TRY(flags_.apply());
  SHEAF_TRY(choose_models(std::move(of_file)));
  return check_consistent();
}

Status ServeFlags::read_text(const std::string& yaml, const std::string& name) {
  SHEAF_ASSIGN(std::vector<ModelSetting> models, parse_config(yaml, name, flags_));
  SHEAF_TRY(flags_.apply());
  SHEAF_TRY(choose_models(std::move(models)));
  return check_consistent();
}

// Models named on the command line or in the environment replace those of the file.
Status ServeFlags::choose_models(std::vector<ModelSetting> of_file) {
  settings_.slices = join_core_lists(settings_.slices);
  std::vector<std::string> named = positional_;
  named.insert(named.end(), model_flag_.begin(), model_flag_.end());
  for (const std::string& argument : named)
    settings_.models.push_back(parse_model_argument(argument));
  if (named.empty()) settings_.models = std::move(of_file);
  if (settings_.models.empty())
    return setting_error("no model given; try: sheaf serve sentence-transformers/all-MiniLM-L6-v2");

  for (ModelSetting& model : settings_.models) {
    if (model.source.empty()) return setting_error("a model's name is empty");
    if (model.source.front() == '=' || model.source.back() == '=')
      return setting_error(fmt::format("'{}' is not NAME=FOLDER", model.source));
    if (model.revision.empty()) model.revision = settings_.revision;
    // A flag or variable beats what the file says of one model.
    if (flags_.origin_of("num-replicas") > Origin::file) model.replicas.reset();
    if (flags_.origin_of("streams") > Origin::file) model.streams.reset();
    if (flags_.origin_of("tensor-parallel-size") > Origin::file) model.ranks.reset();
    if (flags_.origin_of("pipeline-parallel-size") > Origin::file) model.stages.reset();
    if (flags_.origin_of("max-batch-tokens") > Origin::file) model.max_batch_tokens.reset();
    if (flags_.origin_of("max-length") > Origin::file) model.max_length.reset();
    if (flags_.origin_of("pooling") > Origin::file) model.pooling.reset();
    if (flags_.origin_of("dtype") > Origin::file) model.dtype.reset();
    if (flags_.origin_of("slices") > Origin::file) model.slices.clear();
    for (const char* prompt : {"default-prompt-name", "default-prompt"})
      if (flags_.origin_of(prompt) > Origin::file) {
        model.default_prompt_name.reset();
        model.default_prompt.reset();
      }
  }
  if (!settings_.served_model_name.empty()) {
    if (settings_.models.size() > 1)
      return setting_error(fmt::format(
          "--served-model-name names one model, but {} are given; write name=folder instead",
          settings_.models.size()));
    settings_.models.front().name = settings_.served_model_name;
  }
  return {};
}

Status ServeFlags::check_consistent() const {
  if (settings_.gpu_memory_utilization > 1)
    return setting_error(fmt::format("--gpu-memory-utilization {}: is more than all of it, 1",
                                     settings_.gpu_memory_utilization));
  if (settings_.device == "cpu" && (settings_.num_gpus > 0 || settings_.gpu_assignment != "auto"))
    return setting_error("--device cpu: --num-gpus and --gpu-assignment are about cards");
  // Whoever sets an empty key wants one: the server must not stand open for a variable not set.
  if (flags_.given("api-key") && settings_.api_keys.empty())
    return setting_error("--api-key: is empty; leave it out to ask for no key");
  return check_limits(settings_);
}

std::string describe_given(const ServeFlags& flags) {
  std::string line;
  for (const ModelSetting& model : flags.settings().models) {
    line += line.empty() ? "" : ", ";
    line += model.name.empty() ? model.source : fmt::format("{}={}", model.name, model.source);
  }
  for (const EffectiveSetting& setting : flags.flags().effective_settings())
    if (setting.origin != Origin::default_value && setting.name != "model")
      line += fmt::format(", {}={} ({})", setting.name, setting.value, name_of(setting.origin));
  return line;
}

std::string describe_defaults(const ServeFlags& flags) {
  std::string line;
  for (const EffectiveSetting& setting : flags.flags().effective_settings()) {
    if (setting.origin != Origin::default_value || setting.value.empty()) continue;
    line += fmt::format("{}{}={}", line.empty() ? "" : ", ", setting.name, setting.value);
  }
  return line;
}

}  // namespace sheaf::cli
