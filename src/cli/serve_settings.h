#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/flag_set.h"

namespace sheaf::cli {

constexpr std::uint32_t kRanksMax = 64;  // of a replica

// One model to serve, as given: not yet looked for.
struct ModelSetting {
  std::string name;    // served id; empty: the hub name, or the folder's last part
  std::string source;  // folder, hub name or "modelscope:org/name"
  std::string revision;
  // Nothing: what the whole server is set to.
  std::optional<std::string> replicas;  // "auto" or a number
  std::optional<std::string> streams;   // likewise, of each replica on a card
  std::optional<std::uint32_t> max_batch_tokens;
  std::optional<std::uint32_t> max_length;
  std::optional<std::uint32_t> ranks;   // that each replica is divided over
  std::optional<std::uint32_t> stages;  // of layers, likewise
  std::optional<std::string> pooling, dtype;
  std::optional<std::string> default_prompt_name, default_prompt;
  std::vector<std::string> slices;  // where its replicas run; empty: what the server is set to
  // What `sheaf plan` goes by; serving does not.
  double target_tokens_per_s = 0;    // 0: none
  double target_p99_ms = 0;          // 0: none
  double measured_tokens_per_s = 0;  // of one replica on a whole card; 0: to be estimated
  std::string isolation = "none";    // or "memory", "full"
};

// Of a replica on a card: a number up to channel::kLanesMax, or "auto", which is one until replicas
// are measured.
Result<std::uint32_t> parse_streams(std::string_view setting);
Status check_streams_setting(std::string_view setting);
// Copies of a model: a number, or "auto".
Status check_replicas_setting(std::string_view setting);

// "name=source" or "source".
ModelSetting parse_model_argument(std::string_view argument);

// Everything `sheaf serve` can be told. What stands here are the defaults.
struct ServeSettings {
  std::vector<ModelSetting> models;  // the first is the default model

  std::string host = "127.0.0.1";
  std::uint32_t port = 8080;  // 0: the system chooses
  std::uint32_t grpc_port = 50050;
  std::vector<std::string> api_keys;  // empty: none is asked for
  std::vector<std::string> cors_allow_origin;

  std::string num_replicas = "auto";
  std::string streams = "auto";  // of each replica on a card
  std::uint32_t ranks = 1;       // that each replica is divided over
  std::uint32_t stages = 1;      // of layers, likewise
  std::string device = "auto";
  std::vector<std::string> slices;  // of all models; empty: as device says
  std::uint32_t num_gpus = 0;       // 0: all
  std::string gpu_assignment = "auto";
  double gpu_memory_utilization = 0.9;
  std::string dtype = "auto";
  std::string load_balancing = "predictive";
  std::uint32_t max_batch_tokens = 0;  // 0: measured
  std::uint32_t max_length = 0;        // 0: the model's own
  std::string pooling;                 // as model::read_spec() takes it
  // Nothing: the model's own.
  std::optional<std::string> default_prompt_name, default_prompt;
  std::string revision;
  std::string served_model_name;  // of the only model
  bool auto_truncate = true;
  bool allow_token_ids = false;
  TimeUs request_timeout_us = 300'000'000;

  std::uint64_t max_body_bytes = 32 << 20;
  std::uint64_t max_bodies_bytes = 1 << 30;
  std::uint64_t max_grpc_bytes = 100 << 20;
  std::uint64_t max_header_bytes = 32 << 10;
  std::uint32_t max_texts = 2048;
  std::uint32_t max_connections = 8192;
  TimeUs header_timeout_us = 10'000'000;  // a slow sender's, first byte to end of header
  TimeUs body_timeout_us = 60'000'000;    // end of header to end of body
  TimeUs idle_timeout_us = 120'000'000;
  TimeUs drain_timeout_us = 30'000'000;
  std::uint64_t queue_tokens = 0;  // 0: 30 s of the learnt rate, at least 1 M

  std::uint32_t threads = 0;  // 0: one for 4 cores
  std::string replica_program;
  std::string card_program;  // empty: sheaf-replica-cuda beside it
  std::string log_level = "info";
  bool log_json = false;
  bool check = false;
  std::string config_file;
};

// A settings struct with the flags that fill it. Not to be moved: the flags point into it.
class ServeFlags {
 public:
  ServeFlags();
  ServeFlags(const ServeFlags&) = delete;
  ServeFlags& operator=(const ServeFlags&) = delete;

  // Arguments, environment and the file they name, then the checks that concern several settings
  // at once. With --help given nothing is set.
  Status read(std::span<const std::string> arguments,
              const std::function<const char*(const char*)>& environment);

  // Models and settings from the text of such a file alone, `name` in errors.
  Status read_text(const std::string& yaml, const std::string& name);

  const ServeSettings& settings() const { return settings_; }
  const FlagSet& flags() const { return flags_; }

 private:
  Status choose_models(std::vector<ModelSetting> of_file);
  Status check_consistent() const;

  ServeSettings settings_;
  std::vector<std::string> positional_;
  std::vector<std::string> model_flag_;
  FlagSet flags_;
};

// Two lines for the log, secrets masked: the models with what was set and where, then the defaults.
std::string describe_given(const ServeFlags& flags);
std::string describe_defaults(const ServeFlags& flags);

}  // namespace sheaf::cli
