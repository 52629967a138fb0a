#include "cli/auto_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "cli/card_sharing.h"
#include "cli/measured_store.h"
#include "cli/precision.h"
#include "cli/slices.h"
#include "cli/trial_server.h"
#include "model/spec/product_dtype.h"
#include "slices/device.h"

namespace sheaf::cli {
namespace {

using slices::Device;
using Devices = std::vector<Device>;

constexpr TimeUs kSharingMostUs = 90'000'000;  // of one kind of card: a start waits for it

// ---- cards

const slices::Gpu& card_of(const Device& device, const Computers& computers) {
  const auto& gpus = computers.here.gpus.gpus;
  return *std::ranges::find(gpus, device.card_uuid, &slices::Gpu::uuid);
}

// Those of one kind are expected to be equally fast: "NVIDIA H200, 139.8 GiB", of a MIG slice
// "NVIDIA H200 1g.18gb, 16.0 GiB".
std::string card_kind(const Device& device, const Computers& computers) {
  const std::string& name = card_of(device, computers).name;
  return fmt::format("{}{}, {}", name, device.mig ? " " + device.profile : "",
                     human_bytes(static_cast<double>(device.memory_bytes)));
}

// Settings of a server of this model alone.
ServeSettings alone(const ServeSettings& settings, const ModelSetting& model,
                    std::string replicas) {
  ServeSettings one = settings;
  one.models = {model};
  one.models.front().replicas = std::move(replicas);
  return one;
}

// All that the model may be on in this dtype, whoever has them now.
Devices devices_for(const ServeSettings& settings, const ModelSetting& model,
                    const std::string& dtype, const Computers& computers) {
  const std::vector<std::string>& list = model.slices.empty() ? settings.slices : model.slices;
  Devices found;
  std::set<unsigned> cards;
  for (const Device& device : slices::devices_of(computers.here.gpus)) {
    const auto means = [&device](const std::string& word) { return device.is_meant_by(word); };
    const slices::Gpu& card = card_of(device, computers);
    if (!computers.cards->has_code_for(card.compute_capability())) continue;
    if (!multiplies_in(dtype, card)) continue;
    if (!list.empty() && std::ranges::none_of(list, means)) continue;
    if (settings.gpu_assignment == "mig" && !device.mig) continue;
    cards.insert(device.gpu);
    if (list.empty() && settings.num_gpus > 0 && cards.size() > settings.num_gpus) break;
    found.push_back(device);
  }
  return found;
}

// Those that a replica of the model has room on, in the order in which they are taken.
Result<Devices> devices_with_room(const ServeSettings& settings, const ModelSetting& model,
                                  const router::ModelConfig& config, const Computers& computers) {
  std::vector<router::ModelConfig> configs = {config};
  SHEAF_ASSIGN(const Placing placing,
               place_models(alone(settings, model, "auto"), computers, configs));
  const Devices here = slices::devices_of(computers.here.gpus);
  Devices found;
  for (const slices::PlacedReplica& replica : placing.placement.replicas)
    found.push_back(*std::ranges::find(here, replica.slice.uuid, &Device::uuid));
  return found;
}

// While it lives, no other process of this user measures on a card.
Result<FileLock> lock_cards() {
  return lock_measuring({.kind = "cards", .program = "", .source = {}}, "measuring on cards");
}

// Who computes there: "gpu:0 is used by process 12 (python)"; empty: nobody.
std::string used_by(const Device& device, const slices::GpuInventory& gpus) {
  using Kind = slices::Nvml::ProcessKind;
  const auto card = std::ranges::find(gpus.gpus, device.card_uuid, &slices::Gpu::uuid);
  if (card == gpus.gpus.end()) return device.name() + " is gone";
  for (const slices::GpuProcess& process : card->processes) {
    const bool here =
        !device.mig || !process.gpu_instance ||
        device.is_meant_by(fmt::format("mig:{}/{}", device.gpu, *process.gpu_instance));
    if (here && process.kind != Kind::graphics)
      return fmt::format("{} is used by process {}{}", device.name(), process.pid,
                         process.name.empty() ? "" : fmt::format(" ({})", process.name));
  }
  return "";
}

// The first that nobody computes on now; error names who does on the last.
Result<Device> free_one(const Devices& devices) {
  SHEAF_ASSIGN(const SlicesHere here, look_at_slices());
  std::string used = "no card is here";
  for (const Device& device : devices) {
    used = used_by(device, here.gpus);
    if (used.empty()) return device;
  }
  return Error{ErrorCode::unavailable, used};
}

// ---- dtype

// Those whose card has the fewest instructions: what is chosen there all can compute in.
Devices least_of(Devices devices, const Computers& computers) {
  const auto capability = [&computers](const Device& device) {
    return card_of(device, computers).compute_capability();
  };
  std::ranges::stable_sort(devices, {}, capability);
  const std::string kind = card_kind(devices.front(), computers);
  std::erase_if(devices, [&](const Device& one) { return card_kind(one, computers) != kind; });
  return devices;
}

// The program on a card of their kind. In what not all cards here multiply is left out: it would
// close them to all models of the server.
Computer computer_of(const Devices& devices, const Computers& computers) {
  Computer computer{.program = computers.cards->path,
                    .card = card_kind(devices.front(), computers)};
  for (const std::string& dtype : computers.cards->dtypes)
    if (std::ranges::all_of(computers.here.gpus.gpus, [&](const slices::Gpu& gpu) {
          return multiplies_in(dtype, gpu) ||
                 !computers.cards->has_code_for(gpu.compute_capability());
        }))
      computer.dtypes.push_back(dtype);
  return computer;
}

// What --dtype means on cards, and where it is `auto` that is measured, on which.
struct DtypeOnCards {
  std::string unmeasured;
  Devices devices = {};  // of one kind; none: nothing is measured
};

Result<DtypeOnCards> dtype_on_cards(const ServeSettings& settings, const ModelSetting& model,
                                    const router::ModelConfig& config, const Computers& computers) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(config.folder, config.pooling));
  SHEAF_ASSIGN(const std::string dtype,
               dtype_on_card(*computers.cards, config.dtype, config.name, spec));
  SHEAF_TRY(check_dtype_of_cards(dtype, config.name, computers.here.gpus));
  DtypeOnCards found{dtype};
  Devices devices = devices_for(settings, model, dtype, computers);
  if (is_measured(spec) && config.processes() == 1 && !devices.empty())
    found.devices = least_of(std::move(devices), computers);
  return found;
}

// One of them that has room for the model in float32, by which others are measured too, and that
// nobody computes on.
Result<Device> one_to_measure_on(const Devices& devices, const ServeSettings& settings,
                                 const ModelSetting& model, router::ModelConfig config,
                                 const Computers& computers) {
  config.dtype = "float32";
  SHEAF_ASSIGN(Devices with_room, devices_with_room(settings, model, config, computers));
  std::erase_if(with_room, [&devices](const Device& one) {
    return std::ranges::find(devices, one.uuid, &Device::uuid) == devices.end();
  });
  if (with_room.empty())
    return Error{ErrorCode::too_large,
                 "no card of the least kind has room for it in float32, by which others are "
                 "measured"};
  return free_one(with_room);
}

// ---- replicas

// Whether several replicas of the model may be on one card, and nobody said how many.
Result<bool> may_share(const ServeSettings& settings, const ModelSetting& model,
                       const router::ModelConfig& config, const Computers& computers) {
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  return on_cards && computers.computes_on_cards() && config.processes() == 1 &&
         model.replicas.value_or(settings.num_replicas) == "auto" &&
         settings.gpu_assignment != "dedicated" && settings.gpu_assignment != "mig";
}

constexpr std::uint32_t kStreamsMeasured = 4;

bool streams_are_measured(const ServeSettings& settings, const ModelSetting& model) {
  return model.streams.value_or(settings.streams) == "auto";
}

// Of one kind of card: what was measured, and which they are.
struct Kind {
  Measured of;
  Devices devices;
};

Result<std::vector<Kind>> kinds_of(const ServeSettings& settings, const ModelSetting& model,
                                   const router::ModelConfig& config, const Computers& computers) {
  SHEAF_ASSIGN(const bool shares, may_share(settings, model, config, computers));
  std::vector<Kind> kinds;
  if (!shares) return kinds;
  const auto devices = devices_with_room(settings, model, config, computers);
  if (!devices.ok()) return kinds;  // which place_models() refuses, once it knows all models
  for (const Device& device : *devices) {
    std::string on = fmt::format("{}; {}, {}", card_kind(device, computers), config.dtype,
                                 settings.gpu_assignment == "mps" ? "by MPS" : "in turns");
    if (!streams_are_measured(settings, model))
      on += fmt::format(", on {} {}", config.streams, config.streams == 1 ? "stream" : "streams");
    if (config.max_batch_tokens > 0) on += fmt::format(", batches of {}", config.max_batch_tokens);
    if (settings.gpu_memory_utilization != ServeSettings().gpu_memory_utilization)
      on += fmt::format(", {} of its memory", settings.gpu_memory_utilization);
    auto kind = std::ranges::find(kinds, on, [](const Kind& one) { return one.of.on; });
    if (kind == kinds.end()) {
      kinds.push_back({{kSharing, computers.cards->path, {config.folder, config.pooling}, on}, {}});
      kind = kinds.end() - 1;
    }
    kind->devices.push_back(device);
  }
  return kinds;
}

class SharingTrial {
 public:
  SharingTrial(const ServeSettings& settings, const ModelSetting& model,
               const router::ModelConfig& config, const Computers& computers,
               const StartSignals& signals)
      : settings_(settings),
        model_(model),
        config_(config),
        computers_(computers),
        signals_(signals) {}

  // What was kept, else measures and keeps, unless another process just did.
  Result<CardSharing> find(const Kind& kind) {
    if (auto kept = kept_sharing(kind.of)) return std::move(*kept);
    const auto lock = lock_cards();
    if (auto kept = kept_sharing(kind.of)) return std::move(*kept);
    SHEAF_ASSIGN(const Device device, free_one(kind.devices));
    model_.slices = {device.uuid};
    log(LogLevel::info,
        "model {}: measuring on {} how many replicas a card serve most, once ({}), for {} s at "
        "most",
        config_.name, device.name(), kind.of.on, kSharingMostUs / 1'000'000);
    end_us_ = monotonic_us() + kSharingMostUs;
    SHEAF_ASSIGN(CardSharing sharing,
                 measure_sharing(
                     [this](std::uint32_t replicas, std::uint32_t streams) {
                       return rate_of(replicas, streams);
                     },
                     config_.streams,
                     streams_are_measured(settings_, model_) ? kStreamsMeasured : config_.streams));
    // What time left out is measured at the next start.
    const bool cut_short = monotonic_us() >= end_us_ && sharing.back().replicas == 1;
    if (signals_.caught()) return Error{ErrorCode::unavailable, "the start was stopped"};
    if (cut_short) return sharing;
    if (const Status kept = keep_sharing(kind.of, sharing); !kept.ok())
      log(LogLevel::warn, "what was measured cannot be kept: {}", kept.error().message);
    return sharing;
  }

 private:
  Result<std::optional<double>> rate_of(std::uint32_t replicas, std::uint32_t streams) const {
    const auto undone = signals_.hold();
    router::RouterOptions options{.models = {config_},
                                  .replica_program = computers_.replica_program,
                                  .card_program = computers_.cards->path};
    options.models.front().replicas = replicas;
    options.models.front().streams = streams;
    auto placing = place_models(alone(settings_, model_, std::to_string(replicas)), computers_,
                                options.models);
    if (!placing.ok() && placing.error().code == ErrorCode::unavailable) return placing.error();
    if (!placing.ok()) return std::optional<double>();  // for want of room
    SHEAF_ASSIGN(const auto server, TrialServer::start(std::move(options), std::move(*placing)));
    SHEAF_ASSIGN(const double rate,
                 server->tokens_per_s(end_us_, [this] { return signals_.caught(); }));
    return std::optional(rate);
  }

  const ServeSettings& settings_;
  ModelSetting model_;  // on the one card
  const router::ModelConfig& config_;
  const Computers& computers_;
  const StartSignals& signals_;
  TimeUs end_us_ = 0;
};

struct KindSharing {
  Kind kind;
  CardSharing sharing;
};

// All replicas of a model have as many streams: on cards of several kinds as few as are best on one
// of them, and fewer where there is no room for so many at this start.
std::uint32_t streams_for(const std::vector<KindSharing>& all, const ServeSettings& settings,
                          const ModelSetting& model, router::ModelConfig config,
                          const Computers& computers) {
  if (all.empty() || !streams_are_measured(settings, model)) return config.streams;
  std::uint32_t streams = kStreamsMeasured;
  for (const KindSharing& one : all) streams = std::min(streams, best_sharing(one.sharing).streams);
  const auto devices_on = [&](std::uint32_t number) {
    config.streams = number;
    const auto devices = devices_with_room(settings, model, config, computers);
    return devices.ok() ? devices->size() : 0;
  };
  const std::size_t most = streams > 1 ? devices_on(1) : 0;
  while (streams > 1 && devices_on(streams) < most) streams /= 2;
  return streams;
}

// What was best of each kind with so many streams, which on all of them were measured.
KnownReplicas choose(const std::vector<KindSharing>& all, std::uint32_t streams) {
  KnownReplicas known{.streams = streams};
  for (const KindSharing& one : all) {
    const SharingStep best = best_sharing(one.sharing, streams);
    for (const Device& device : one.kind.devices) known.on_device[device.uuid] = best.replicas;
  }
  return known;
}

}  // namespace

namespace {

// As `sheaf plan` says it; `param` tells that the mistake is in what was asked for.
Status check_layers(const router::ModelConfig& config, const model::ModelSpec& spec) {
  SHEAF_ASSIGN(const model::ProductDtype dtype, model::parse_product_dtype(config.dtype));
  const Status layers = model::check_fp8_layers(spec, dtype.fp8_layers);
  if (layers.ok()) return {};
  return Error{layers.error().code,
               fmt::format("model {}: {}", config.name, layers.error().message), "dtype"};
}

}  // namespace

Result<KnownDtype> known_dtype(const ServeSettings& settings, const ModelSetting& model,
                               const router::ModelConfig& config, const Computers& computers) {
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(config.folder, config.pooling));
  SHEAF_TRY(check_layers(config, spec));
  const ModelSource source{config.folder, config.pooling};
  Computer computer{computers.replica_program};
  std::string unmeasured = "float32";
  if (on_cards && computers.computes_on_cards()) {
    SHEAF_ASSIGN(const DtypeOnCards there, dtype_on_cards(settings, model, config, computers));
    if (there.devices.empty()) return KnownDtype{there.unmeasured};
    computer = computer_of(there.devices, computers);
    unmeasured = there.unmeasured;
  }
  return KnownDtype{
      dtype_at_once(config.dtype, computer, source, unmeasured),
      config.dtype != "auto" || !is_measured(spec) || kept_precisions(computer, source)};
}

Result<std::string> measured_dtype(const ServeSettings& settings, const ModelSetting& model,
                                   const router::ModelConfig& config, const Computers& computers) {
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  const ModelSource source{config.folder, config.pooling};
  if (!on_cards || !computers.computes_on_cards())
    return dtype_for_serving(config.dtype, {computers.replica_program}, config.name, source);
  SHEAF_ASSIGN(const DtypeOnCards there, dtype_on_cards(settings, model, config, computers));
  if (there.devices.empty()) return there.unmeasured;
  Computer computer = computer_of(there.devices, computers);
  if (config.dtype != "auto" || kept_precisions(computer, source))
    return dtype_for_serving(config.dtype, computer, config.name, source);

  const auto lock = lock_cards();
  const auto device = one_to_measure_on(there.devices, settings, model, config, computers);
  if (!device.ok() && !kept_precisions(computer, source)) {
    log(LogLevel::warn, "model {}: precisions cannot be measured, so it computes in {}: {}",
        config.name, there.unmeasured, device.error().message);
    return there.unmeasured;
  }
  if (device.ok()) computer.environment = {"CUDA_VISIBLE_DEVICES=" + device->uuid};
  return dtype_for_serving("auto", computer, config.name, source);
}

Result<KnownReplicas> known_replicas(const ServeSettings& settings, const ModelSetting& model,
                                     const router::ModelConfig& config,
                                     const Computers& computers) {
  SHEAF_ASSIGN(const auto kinds, kinds_of(settings, model, config, computers));
  std::vector<KindSharing> all;
  for (const Kind& kind : kinds)
    if (auto kept = kept_sharing(kind.of)) all.push_back({kind, std::move(*kept)});
  KnownReplicas known = choose(all, streams_for(all, settings, model, config, computers));
  known.settled = all.size() == kinds.size();
  return known;
}

Result<KnownReplicas> measured_replicas(const ServeSettings& settings, const ModelSetting& model,
                                        const router::ModelConfig& config,
                                        const Computers& computers, const StartSignals& signals) {
  SHEAF_ASSIGN(const auto kinds, kinds_of(settings, model, config, computers));
  std::vector<KindSharing> all;
  for (const Kind& kind : kinds) {
    auto sharing = SharingTrial(settings, model, config, computers, signals).find(kind);
    if (sharing.ok())
      all.push_back({kind, std::move(*sharing)});
    else
      log(LogLevel::warn,
          "model {}: how many replicas a card serve most cannot be measured, so there is one: {}",
          config.name, sharing.error().message);
  }
  const std::uint32_t streams = streams_for(all, settings, model, config, computers);
  for (const auto& [kind, sharing] : all)
    log(LogLevel::info, "model {}: {} a card by --num-replicas auto, measured ({}): {}",
        config.name, describe(best_sharing(sharing, streams)), kind.of.on, describe(sharing));
  return choose(all, streams);
}

}  // namespace sheaf::cli
