#include "cli/placing.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "base/text.h"
#include "cli/flag_value.h"
#include "cli/model_memory.h"
#include "cli/plan_model.h"
#include "cli/replica_program.h"
#include "cli/table.h"
#include "model/spec/product_dtype.h"
#include "model/spec/shard.h"
#include "planner/capacity.h"
#include "planner/gpu.h"
#include "planner/memory.h"
#include "slices/lease_request.h"
#include "slices/mig_journal.h"
#include "slices/mps_control.h"
#include "slices/tenancy.h"

namespace sheaf::cli {
namespace {

using slices::Misfit;
using slices::PlacedReplica;
using slices::SliceKind;
using slices::Wish;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

slices::Division division_of(const router::ModelConfig& config) {
  return config.stages.size() > 1 ? slices::Division::stages : slices::Division::ranks;
}

Error placing_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

const std::vector<std::string>& list_for(const ModelSetting& model, const ServeSettings& settings) {
  return model.slices.empty() ? settings.slices : model.slices;
}

bool names_cores(const std::string& word) { return word.starts_with("cores:"); }

bool flags_speak_of_cards(const ServeSettings& settings) {
  return settings.num_gpus > 0 || settings.gpu_assignment != "auto";
}

// Else the processor will do where they cannot be used.
bool wants_cards(const ServeSettings& settings) {
  if (settings.device != "auto") return settings.device == "cuda";
  if (flags_speak_of_cards(settings)) return true;
  return std::ranges::any_of(settings.models, [&settings](const ModelSetting& model) {
    return !std::ranges::all_of(list_for(model, settings), names_cores);
  });
}

// ---- what there is to compute on

Error no_card_program(const std::string& replica_program) {
  return {
      ErrorCode::unsupported,
      fmt::format("there is no sheaf-replica-cuda beside {}, and nothing else computes on cards "
                  "(`make cuda` builds it)",
                  replica_program)};
}

std::string text_of_code(const CardProgram& program) {
  std::vector<std::string> words;
  for (const int capability : program.compute_capabilities)
    words.push_back(planner::capability_text(capability));
  return fmt::format("sheaf-replica-cuda has code for {} alone", fmt::join(words, ", "));
}

constexpr std::string_view kFp8 = "fp8";

// By UUID, those that its kernels cannot be loaded on, or that lack a dtype of the models, and why.
std::map<std::string, std::string> unusable_cards(const CardProgram& program,
                                                  const slices::GpuInventory& gpus,
                                                  const std::vector<router::ModelConfig>& models) {
  const bool fp8 = std::ranges::any_of(models, [](const router::ModelConfig& model) {
    return model::dtype_name_in(model.dtype) == kFp8;
  });
  std::map<std::string, std::string> unusable;
  for (const slices::Gpu& gpu : gpus.gpus) {
    const int capability = gpu.compute_capability();
    if (!program.has_code_for(capability))
      unusable[gpu.uuid] = fmt::format("has compute capability {}, and {}",
                                       planner::capability_text(capability), text_of_code(program));
    else if (fp8 && !multiplies_in(kFp8, gpu))
      unusable[gpu.uuid] = planner::why_no_fp8(capability);
  }
  return unusable;
}

// Nothing computes on simulated cards but what is named for them; where cards are asked for,
// sheaf-replica does in their place.
Status find_stand_in(const ServeSettings& settings, Computers& computers) {
  if (!wants_cards(settings))
    return Error{ErrorCode::unsupported,
                 "the cards are simulated, and no --card-program is named for them"};
  computers.cards = CardProgram{.path = computers.replica_program, .stands_in = true};
  return {};
}

// Asks the program before NVML: it is a process that can be left alone if the driver hangs.
Status find_cards(const ServeSettings& settings, const std::string& path, Computers& computers) {
  if (settings.card_program.empty() && std::getenv("SHEAF_NVML") != nullptr) {
    SHEAF_ASSIGN(computers.here, look_at_slices());
    if (computers.here.gpus.simulated) return find_stand_in(settings, computers);
  }
  if (path.empty()) {
    const auto here = look_at_slices();
    if (!here.ok() || here->no_gpus_because.empty())
      return no_card_program(computers.replica_program);
    return Error{ErrorCode::not_found, wants_cards(settings)
                                           ? "no card to serve on: " + here->no_gpus_because
                                           : "no NVIDIA card or driver is here"};
  }
  SHEAF_ASSIGN(CardProgram program, ask_card_program(path));
  SHEAF_ASSIGN(computers.here, look_at_slices());
  if (!computers.here.no_gpus_because.empty())
    return Error{ErrorCode::not_found, "no card to serve on: " + computers.here.no_gpus_because};
  const auto& gpus = computers.here.gpus.gpus;
  if (!gpus.empty() && std::ranges::none_of(gpus, &slices::Gpu::visible))
    return Error{ErrorCode::not_found, "CUDA_VISIBLE_DEVICES hides all cards"};
  if (slices::devices_of(computers.here.gpus).empty() && !wants_cards(settings))
    return Error{ErrorCode::not_found, "no card that is not cut and no MIG slice is here"};
  computers.cards = std::move(program);
  return {};
}

// A table that cannot be read binds nobody; who leases, and so the fleet, complains of it.
slices::Tenancy::ByUuid leased_to_others() {
  const auto leases = slices::list_leases(slices::default_slices_folder());
  return leases.ok() ? slices::Tenancy::leased_to_others(*leases) : slices::Tenancy::ByUuid();
}

slices::PlacementRules rules_for(const ServeSettings& settings, const Computers& computers,
                                 const std::vector<router::ModelConfig>& models) {
  return {.num_gpus = settings.num_gpus,
          .assignment = *slices::parse_assignment(settings.gpu_assignment),
          .memory_utilization = settings.gpu_memory_utilization,
          .machine = host_name(),
          .slices_folder = slices::default_slices_folder(),
          .withheld = leased_to_others(),
          .unusable = computers.cards
                          ? unusable_cards(*computers.cards, computers.here.gpus, models)
                          : std::map<std::string, std::string>()};
}

// But for what a replica takes of a card.
Result<Wish> wish_for(const ServeSettings& settings, const ModelSetting& model,
                      const router::ModelConfig& config, const Computers& computers) {
  Wish wish{.model = config.name,
            .slices = list_for(model, settings),
            .processes = config.processes(),
            .division = division_of(config)};
  SHEAF_ASSIGN(wish.on_cards, runs_on_cards(settings, model, computers));
  const std::string& replicas = model.replicas.value_or(settings.num_replicas);
  if (replicas != "auto") wish.replicas = config.replicas;
  return wish;
}

// Places of one server: what it is told, and the machine as it was read when cards came into play.
class Placer {
 public:
  Placer(const ServeSettings& settings, const Computers& computers,
         std::vector<router::ModelConfig>& configs, const std::vector<ReplicasOnDevice>& on_devices)
      : settings_(settings),
        computers_(computers),
        here_(computers.here),
        configs_(configs),
        on_devices_(on_devices) {}

  Result<Placing> place() {
    for (std::size_t i = 0; i < configs_.size(); ++i) {
      SHEAF_ASSIGN(Wish wish, wish_for(settings_, settings_.models[i], configs_[i], computers_));
      if (wish.on_cards) SHEAF_TRY(add_bytes_on_card(i, wish));
      if (!on_devices_.empty()) wish.on_device = on_devices_[i];
      wishes_.push_back(std::move(wish));
    }
    if (std::ranges::any_of(wishes_, &Wish::on_cards) && here_.gpus.simulated)
      placing_.warnings.emplace_back(
          "the cards are simulated (SHEAF_NVML): replicas on them compute on the CPU");
    SHEAF_ASSIGN(auto outcome, slices::place(here_.machine, here_.gpus, wishes_,
                                             rules_for(settings_, computers_, configs_)));
    if (const auto* misfit = std::get_if<Misfit>(&outcome)) return refusal(*misfit);
    placing_.placement = std::get<slices::Placement>(std::move(outcome));
    for (router::ModelConfig& config : configs_) config.replicas = 0;
    for (const PlacedReplica& replica : placing_.placement.replicas)
      ++configs_[replica.wish].replicas;
    placing_.needs_mps = needs_mps();
    return std::move(placing_);
  }

 private:
  Status add_bytes_on_card(std::size_t i, Wish& wish) const {
    const router::ModelConfig& config = configs_[i];
    if (computers_.computes_on_cards()) {
      const std::string& program = computers_.cards->path;
      SHEAF_ASSIGN(
          const ModelMemory memory,
          memory_of(program,
                    {config.folder, config.pooling, config.dtype, config.ranks, config.stages},
                    config.max_batch_tokens, /*threads=*/1, config.streams));
      wish.weights_bytes = memory.card_weights_bytes;
      wish.replica_bytes = memory.card_replica_bytes;
      if (wish.replica_bytes > 0) return {};
      return Error{ErrorCode::internal,
                   fmt::format("{} does not say what {} takes of a card", program, config.folder)};
    }
    SHEAF_ASSIGN(const planner::ModelFacts facts,
                 facts_of_folder(config.name, config.folder, config.pooling));
    SHEAF_ASSIGN(const planner::Load load, load_of(i));
    const planner::Memory memory = planner::memory_of(facts, load);
    wish.weights_bytes = memory.weights_bytes;
    wish.replica_bytes = memory.replica_bytes();
    return {};
  }

  bool needs_mps() const {
    const auto is_client = [](const PlacedReplica& replica) {
      return replica.slice.kind == SliceKind::mps;
    };
    return std::ranges::any_of(placing_.placement.replicas, is_client) &&
           (!here_.gpus.simulated || slices::MpsControl::find().ok());
  }

  // ---- what a model takes, and what to do where it does not fit

  // On a card, where the processor stands in. The dtype is the one that was set: what "auto" was
  // measured to be there says nothing of cards, and `sheaf plan` goes by it too.
  Result<planner::Load> load_of(std::size_t i) const {
    const router::ModelConfig& config = configs_[i];
    SHEAF_ASSIGN(planner::Load load, load_in(settings_.models[i].dtype.value_or(settings_.dtype)));
    load.batch_tokens =
        config.max_batch_tokens == 0 ? planner::kBatchTokens : config.max_batch_tokens;
    load.max_length = config.max_length;
    load.streams = config.streams;
    return load;
  }

  // The device as the planner knows it.
  planner::Gpu gpu_of(const slices::Device& device) const {
    planner::Gpu gpu{.name = fmt::format("{} ({})", device.name(), device.profile),
                     .memory_bytes = device.memory_bytes};
    for (const slices::Gpu& card : here_.gpus.gpus) {
      if (card.uuid != device.card_uuid || card.model == nullptr) continue;
      gpu.card = card.model.get();
      for (const slices::MigProfile& profile : card.model->profiles)
        if (device.mig && profile.name == device.profile) gpu.profile = &profile;
    }
    return gpu;
  }

  Error refusal(const Misfit& misfit) const {
    const Error plain = {ErrorCode::invalid_argument,
                         misfit.text(wishes_[misfit.wish]) + remedies(misfit)};
    // What helps where the device is too small the planner knows, but not who else is on it, nor in
    // what a program for cards computes.
    if (computers_.computes_on_cards()) return plain;
    const router::ModelConfig& config = configs_[misfit.wish];
    const auto facts = facts_of_folder(config.name, config.folder, config.pooling);
    const auto load = load_of(misfit.wish);
    if (!facts.ok()) return facts.error();
    if (!load.ok()) return load.error();
    const planner::Gpu gpu = gpu_of(misfit.device);
    const double utilization = settings_.gpu_memory_utilization;
    if (planner::fit_of(*facts, *load, gpu, utilization).replicas > 0) return plain;
    const std::uint32_t instances = std::max(wishes_[misfit.wish].replicas, 1u);
    return {ErrorCode::invalid_argument,
            planner::refusal(*facts, *load, gpu, utilization, instances)};
  }

  std::string_view remedy_by_stages(std::size_t model) const {
    const Wish& wish = wishes_[model];
    if (!computers_.computes_on_cards()) return "";
    if (wish.processes == 1) return "several (--pipeline-parallel-size), ";
    // The first has the table of words too, and is what does not fit once it has one layer.
    const bool can_be_cut = configs_[model].stages.front().layers > 1;
    return wish.division == slices::Division::stages && can_be_cut ? "more stages, " : "";
  }

  std::string remedies(const Misfit& misfit) const {
    const double whole =
        static_cast<double>(misfit.device.memory_bytes) * settings_.gpu_memory_utilization;
    if (misfit.shares == 1 && static_cast<double>(misfit.needed_bytes) > whole)
      return fmt::format("; what helps: a larger card, {}a smaller --dtype or --max-batch-tokens",
                         remedy_by_stages(misfit.wish));
    if (misfit.shares == 1)
      return fmt::format("; the rest of its {} is taken by others, whom `sheaf slices` lists",
                         human_bytes(static_cast<double>(misfit.device.memory_bytes)));
    const std::uint64_t room = misfit.allowed_bytes * misfit.shares;
    return fmt::format(
        "; what helps: fewer replicas ({} fit there), more cards, a smaller --dtype "
        "or --max-batch-tokens",
        room / misfit.needed_bytes);
  }

  const ServeSettings& settings_;
  const Computers& computers_;
  const SlicesHere& here_;
  std::vector<router::ModelConfig>& configs_;
  const std::vector<ReplicasOnDevice>& on_devices_;
  std::vector<Wish> wishes_;
  Placing placing_;
};

}  // namespace

Result<Computers> find_computers(const ServeSettings& settings, bool only_cards) {
  const auto may_take_cards = [&settings](const ModelSetting& model) {
    const std::vector<std::string>& list = list_for(model, settings);
    return list.empty() || !std::ranges::all_of(list, names_cores);
  };
  if (flags_speak_of_cards(settings) && !settings.models.empty() &&
      std::ranges::none_of(settings.models, may_take_cards))
    return placing_error(
        "--num-gpus and --gpu-assignment are about cards, and all slices are cores");
  Computers computers;
  SHEAF_ASSIGN(computers.replica_program, find_replica_program(settings.replica_program));
  SHEAF_ASSIGN(const std::string card_program,
               find_card_program(settings.card_program, computers.replica_program));
  if (settings.device != "cpu") {
    const Status found = find_cards(settings, card_program, computers);
    if (found.ok()) return computers;
    if (only_cards) return found.error();
    const std::string& why = found.error().message;
    if (wants_cards(settings))
      return Error{found.error().code,
                   why + (settings.device == "cuda" ? "; --device cpu serves on the processor"
                                                    : "; without flags about cards the processor "
                                                      "serves")};
    computers.no_cards_because = why;
  }
  computers.here = {};
  SHEAF_ASSIGN(computers.here.machine, slices::detect_machine());
  return computers;
}

// As its list says; without one as --device does, where auto means cards if they were spoken of, or
// if there is a program that computes on them.
Result<bool> runs_on_cards(const ServeSettings& settings, const ModelSetting& model,
                           const Computers& computers) {
  const std::vector<std::string>& slices = list_for(model, settings);
  const std::string& name = model.name.empty() ? model.source : model.name;
  const auto cores = static_cast<std::size_t>(std::ranges::count_if(slices, names_cores));
  const std::string& device = settings.device;
  if (cores != 0 && cores != slices.size())
    return placing_error(fmt::format(
        "model {}: its slices are cores and cards ({}), and its replicas must be of one kind", name,
        fmt::join(slices, ", ")));
  if (!slices.empty()) {
    if (device != "auto" && (device == "cpu") != (cores > 0))
      return placing_error(
          fmt::format("model {}: --device {} does not go with {}", name, device, slices.front()));
    return cores == 0;
  }
  if (device != "auto") return device == "cuda";
  return flags_speak_of_cards(settings) || computers.computes_on_cards();
}

Status check_ranks(const ServeSettings& settings, const ModelSetting& model,
                   const router::ModelConfig& config, const Computers& computers) {
  if (config.processes() == 1) return {};
  const auto refuse = [&config](ErrorCode code, std::string_view why) {
    const std::size_t number = config.stages.size() > 1 ? config.stages.size() : config.ranks;
    return Error{code, fmt::format("model {}: {} {}: {}", config.name,
                                   slices::flag_of(division_of(config)), number, why)};
  };
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  if (on_cards && !computers.computes_on_cards())
    return refuse(ErrorCode::unsupported,
                  "the processor stands in for simulated cards, over which it divides no model; "
                  "--device cpu divides it over cores");
  if (on_cards && config.ranks > 1 && !computers.cards->no_sums_because.empty())
    return refuse(ErrorCode::unsupported, computers.cards->no_sums_because);
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(config.folder, config.pooling));
  // Which layers each stage has is not known yet: one would do.
  const auto stages = static_cast<std::uint32_t>(config.stages.size());
  const model::Stage first = {0, stages, 0, stages > 1 ? 1u : 0u};
  const Status divides = model::check_shard(spec, {0, config.ranks, first});
  return divides.ok() ? Status() : refuse(divides.error().code, divides.error().message);
}

Status check_streams(const ServeSettings& settings, const ModelSetting& model,
                     const router::ModelConfig& config, const Computers& computers) {
  if (config.streams == 1) return {};
  const auto refuse = [&config](std::string_view why) {
    return placing_error(
        fmt::format("model {}: --streams {}: {}", config.name, config.streams, why));
  };
  SHEAF_ASSIGN(const bool on_cards, runs_on_cards(settings, model, computers));
  if (!on_cards) return refuse("on processor cores a replica has one; --num-replicas gives more");
  if (config.processes() > 1)
    return refuse("a replica that is divided over several processes has one");
  return {};
}

// What each stage may have for its weights. Core sets have no memory of their own: of the machine's
// an even part.
std::uint64_t room_on_cores(const slices::Machine& machine, std::size_t stages) {
  std::uint64_t bytes = 0;
  for (const slices::NumaNode& node : machine.nodes) bytes += node.memory_bytes;
  return bytes / stages;
}

// On the smallest card that would do; beside the weights a stage takes about what the whole model
// would.
Result<std::uint64_t> room_on_cards(const ServeSettings& settings, const Computers& computers,
                                    const router::ModelConfig& config, const Wish& wish) {
  SHEAF_ASSIGN(const std::uint64_t room,
               slices::least_room(computers.here.machine, computers.here.gpus, wish,
                                  rules_for(settings, computers, {config})));
  SHEAF_ASSIGN(const ModelMemory whole,
               memory_of(computers.cards->path, {config.folder, config.pooling, config.dtype},
                         config.max_batch_tokens, /*threads=*/1));
  return room - std::min(room, whole.card_replica_bytes);
}

Result<std::string> map_layers(const ServeSettings& settings, const ModelSetting& model,
                               const Computers& computers, router::ModelConfig& config) {
  if (config.stages.size() == 1) return std::string();
  SHEAF_ASSIGN(const Wish wish, wish_for(settings, model, config, computers));
  SHEAF_ASSIGN(const model::PartBytes parts,
               parts_of(computers.program_for(wish.on_cards),
                        {config.folder, config.pooling, config.dtype}));
  std::uint64_t room = room_on_cores(computers.here.machine, config.stages.size());
  if (wish.on_cards) {
    SHEAF_ASSIGN(room, room_on_cards(settings, computers, config, wish));
  }
  const std::vector<std::uint64_t> rooms(config.stages.size(), std::max<std::uint64_t>(room, 1));
  config.stages = model::divide_layers(parts, rooms);
  if (config.stages.empty())
    return Error{ErrorCode::internal,
                 fmt::format("model {}: {} layers cannot be divided into {} stages", config.name,
                             parts.layers.size(), rooms.size())};
  return model::text_of(config.stages, parts);
}

bool multiplies_in(std::string_view dtype, const slices::Gpu& card) {
  return model::dtype_name_in(dtype) != kFp8 ||
         card.compute_capability() >= planner::kFp8Capability;
}

Status check_dtype_of_cards(const std::string& dtype, const std::string& model,
                            const slices::GpuInventory& gpus) {
  const auto can = [&dtype](const slices::Gpu& gpu) { return multiplies_in(dtype, gpu); };
  if (gpus.gpus.empty() || std::ranges::any_of(gpus.gpus, can)) return {};
  const slices::Gpu& card = gpus.gpus.front();
  return Error{ErrorCode::unsupported,
               planner::lacks_fp8_text(model, card.name, card.compute_capability())};
}

Result<Placing> place_models(const ServeSettings& settings, const Computers& computers,
                             std::vector<router::ModelConfig>& configs,
                             const std::vector<ReplicasOnDevice>& on_devices) {
  return Placer(settings, computers, configs, on_devices).place();
}

std::string table_of(const Placing& placing, const std::vector<router::ModelConfig>& configs) {
  Table table({{"replica"}, {"model", true}, {"slice", true}, {"needs"}, {"may use"}, {"threads"}});
  std::size_t number = 0;
  for (const PlacedReplica& replica : placing.placement.replicas) {
    const bool on_cores = replica.slice.kind == SliceKind::cores;
    const auto bytes = [on_cores](std::uint64_t count) {
      return on_cores ? std::string("-") : human_bytes(static_cast<double>(count));
    };
    // Of several slices the least, since each has to do.
    const std::uint64_t least =
        std::ranges::min(replica.slices(), {}, &slices::Slice::memory_bytes).memory_bytes;
    table.add_row({std::to_string(number++), one_line(short_name(configs[replica.wish].name), 28),
                   replica.slice.name, bytes(replica.needed_bytes), bytes(least),
                   std::to_string(replica.slice.threads)});
  }
  return table.render();
}

std::vector<std::string> join_core_lists(const std::vector<std::string>& words) {
  std::vector<std::string> joined;
  for (const std::string& word : words) {
    const bool is_cores = !joined.empty() && names_cores(joined.back()) && !word.empty() &&
                          word.find_first_not_of("0123456789-") == word.npos;
    if (is_cores)
      joined.back() += "," + word;
    else
      joined.push_back(word);
  }
  return joined;
}

}  // namespace sheaf::cli
