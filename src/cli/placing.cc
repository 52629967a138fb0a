#include "cli/placing.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"
#include "cli/flag_value.h"
#include "cli/plan_model.h"
#include "cli/table.h"
#include "planner/capacity.h"
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

Error placing_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

const std::vector<std::string>& list_for(const ModelSetting& model, const ServeSettings& settings) {
  return model.slices.empty() ? settings.slices : model.slices;
}

bool names_cores(const std::string& word) { return word.starts_with("cores:"); }

// What computes on cards beside the replica's program; empty: there is none.
std::string cuda_program(const std::string& replica_program) {
  const std::string path =
      (std::filesystem::path(replica_program).parent_path() / "sheaf-replica-cuda").string();
  return ::access(path.c_str(), X_OK) == 0 ? path : "";
}

// Places of one server: what it is told, and the machine as it was read when cards came into play.
class Placer {
 public:
  Placer(const ServeSettings& settings, std::string replica_program,
         std::vector<router::ModelConfig>& configs)
      : settings_(settings), replica_program_(std::move(replica_program)), configs_(configs) {}

  Result<Placing> place() {
    if (may_use_cards()) {
      SHEAF_ASSIGN(here_, look_at_slices());
    } else {
      SHEAF_ASSIGN(here_.machine, slices::detect_machine());
    }
    for (std::size_t i = 0; i < configs_.size(); ++i) {
      SHEAF_ASSIGN(Wish wish, wish_for(i));
      wishes_.push_back(std::move(wish));
    }
    if (std::ranges::any_of(wishes_, &Wish::on_cards)) {
      SHEAF_ASSIGN(placing_.card_program, card_program(here_, replica_program_));
      if (here_.gpus.simulated)
        placing_.warnings.emplace_back(
            "the cards are simulated (SHEAF_NVML): replicas on them compute on the CPU");
    }
    SHEAF_ASSIGN(auto outcome, slices::place(here_.machine, here_.gpus, wishes_, rules()));
    if (const auto* misfit = std::get_if<Misfit>(&outcome)) return refusal(*misfit);
    placing_.placement = std::get<slices::Placement>(std::move(outcome));
    for (router::ModelConfig& config : configs_) config.replicas = 0;
    for (const PlacedReplica& replica : placing_.placement.replicas)
      ++configs_[replica.wish].replicas;
    placing_.needs_mps = needs_mps();
    return std::move(placing_);
  }

 private:
  slices::PlacementRules rules() const {
    return {.num_gpus = settings_.num_gpus,
            .assignment = *slices::parse_assignment(settings_.gpu_assignment),
            .memory_utilization = settings_.gpu_memory_utilization,
            .machine = host_name(),
            .slices_folder = slices::default_slices_folder(),
            .withheld = leased_to_others()};
  }

  // A table that cannot be read binds nobody; who leases, and so the fleet, complains of it.
  static slices::Tenancy::ByUuid leased_to_others() {
    const auto leases = slices::list_leases(slices::default_slices_folder());
    return leases.ok() ? slices::Tenancy::leased_to_others(*leases) : slices::Tenancy::ByUuid();
  }

  bool speaks_of_cards() const {
    return settings_.num_gpus > 0 || settings_.gpu_assignment != "auto";
  }

  // Else NVML, which may take its time, is left alone.
  bool may_use_cards() const {
    if (settings_.device == "cuda" || speaks_of_cards()) return true;
    for (const ModelSetting& model : settings_.models)
      if (!std::ranges::all_of(list_for(model, settings_), names_cores)) return true;
    return settings_.device == "auto" && !cuda_program(replica_program_).empty();
  }

  Result<Wish> wish_for(std::size_t i) {
    const ModelSetting& model = settings_.models[i];
    Wish wish{.model = configs_[i].name, .slices = list_for(model, settings_)};
    SHEAF_ASSIGN(wish.on_cards, runs_on_cards(wish));
    const std::string& replicas = model.replicas.value_or(settings_.num_replicas);
    if (replicas != "auto") wish.replicas = configs_[i].replicas;
    if (!wish.on_cards) return wish;
    SHEAF_ASSIGN(const planner::ModelFacts facts,
                 facts_of_folder(configs_[i].name, configs_[i].folder, configs_[i].pooling));
    SHEAF_ASSIGN(const planner::Load load, load_of(i));
    wish.replica_bytes = planner::memory_of(facts, load).total_bytes();
    return wish;
  }

  // As its list says; without one as --device does, where auto means cards if they were spoken of,
  // or if there is a program that computes on them.
  Result<bool> runs_on_cards(const Wish& wish) const {
    const auto cores = static_cast<std::size_t>(std::ranges::count_if(wish.slices, names_cores));
    const std::string& device = settings_.device;
    if (cores != 0 && cores != wish.slices.size())
      return placing_error(fmt::format(
          "model {}: its slices are cores and cards ({}), and its replicas must be of one kind",
          wish.model, fmt::join(wish.slices, ", ")));
    if (!wish.slices.empty()) {
      if (device != "auto" && (device == "cpu") != (cores > 0))
        return placing_error(fmt::format("model {}: --device {} does not go with {}", wish.model,
                                         device, wish.slices.front()));
      return cores == 0;
    }
    if (device != "auto") return device == "cuda";
    return speaks_of_cards() ||
           (!here_.gpus.gpus.empty() && !cuda_program(replica_program_).empty());
  }

  bool needs_mps() const {
    const auto is_client = [](const PlacedReplica& replica) {
      return replica.slice.kind == SliceKind::mps;
    };
    return std::ranges::any_of(placing_.placement.replicas, is_client) &&
           (!here_.gpus.simulated || slices::MpsControl::find().ok());
  }

  // ---- what a model takes, and what to do where it does not fit

  // On a card. The dtype is the one that was set: what "auto" was measured to be on the processor
  // says nothing of cards, and `sheaf plan` goes by it too.
  Result<planner::Load> load_of(std::size_t i) const {
    const router::ModelConfig& config = configs_[i];
    planner::Load load;
    SHEAF_ASSIGN(load.dtype, dtype_on_cards(settings_.models[i].dtype.value_or(settings_.dtype)));
    load.batch_tokens =
        config.max_batch_tokens == 0 ? planner::kBatchTokens : config.max_batch_tokens;
    load.max_length = config.max_length;
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
    const router::ModelConfig& config = configs_[misfit.wish];
    const auto facts = facts_of_folder(config.name, config.folder, config.pooling);
    const auto load = load_of(misfit.wish);
    if (!facts.ok()) return facts.error();
    if (!load.ok()) return load.error();
    const planner::Gpu gpu = gpu_of(misfit.device);
    const double utilization = settings_.gpu_memory_utilization;
    const std::uint32_t instances = std::max(wishes_[misfit.wish].replicas, 1u);
    // The planner knows what helps where the device is too small, but not who else is on it.
    if (planner::fit_of(*facts, *load, gpu, utilization).replicas == 0)
      return {ErrorCode::invalid_argument,
              planner::refusal(*facts, *load, gpu, utilization, instances)};
    return {ErrorCode::invalid_argument, misfit.text(wishes_[misfit.wish]) + remedies(misfit)};
  }

  static std::string remedies(const Misfit& misfit) {
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
  const std::string replica_program_;
  std::vector<router::ModelConfig>& configs_;
  SlicesHere here_;
  std::vector<Wish> wishes_;
  Placing placing_;
};

}  // namespace

Result<std::string> card_program(const SlicesHere& here, const std::string& replica_program) {
  if (here.gpus.simulated) return replica_program;
  std::string program = cuda_program(replica_program);
  if (program.empty())
    return Error{ErrorCode::unsupported,
                 fmt::format("this build computes on the CPU only: there is no sheaf-replica-cuda "
                             "beside {}; --device cpu serves on processor cores",
                             replica_program)};
  if (!here.no_gpus_because.empty())
    return Error{ErrorCode::not_found, "no card to serve on: " + here.no_gpus_because};
  return program;
}

Status check_device(const ServeSettings& settings, const std::string& replica_program) {
  if (settings.device != "cuda") return {};
  SHEAF_ASSIGN(const SlicesHere here, look_at_slices());
  SHEAF_TRY(card_program(here, replica_program));
  return {};
}

Result<Placing> place_models(const ServeSettings& settings, const std::string& replica_program,
                             std::vector<router::ModelConfig>& configs) {
  return Placer(settings, replica_program, configs).place();
}

std::string table_of(const Placing& placing, const std::vector<router::ModelConfig>& configs) {
  Table table({{"replica"}, {"model", true}, {"slice", true}, {"needs"}, {"may use"}, {"threads"}});
  std::size_t number = 0;
  for (const PlacedReplica& replica : placing.placement.replicas) {
    const bool on_cores = replica.slice.kind == SliceKind::cores;
    const auto bytes = [on_cores](std::uint64_t count) {
      return on_cores ? std::string("-") : human_bytes(static_cast<double>(count));
    };
    table.add_row({std::to_string(number++), configs[replica.wish].name, replica.slice.name,
                   bytes(replica.needed_bytes), bytes(replica.slice.memory_bytes),
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
