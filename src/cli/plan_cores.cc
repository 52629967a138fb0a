#include "cli/plan_cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/model_files.h"
#include "cli/model_memory.h"
#include "cli/plan_model.h"
#include "cli/plan_report.h"
#include "cli/precision.h"
#include "cli/replica_program.h"
#include "cli/table.h"
#include "slices/slice.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
using planner::CoreMachine;
using planner::CorePlan;
using planner::CoreShare;
using planner::Demand;

std::uint32_t granted_cores(const slices::Machine& machine) {
  return std::max(static_cast<std::uint32_t>(machine.core_quota), 1u);
}

// On so many cores of this machine's kind.
Result<double> rate_on_cores(const ModelSetting& setting, const std::string& program,
                             const ModelSource& source, std::uint32_t cores) {
  if (setting.measured_tokens_per_s > 0) return setting.measured_tokens_per_s;
  const auto kept = kept_precisions({program}, source);
  if (kept) {
    const auto found = std::ranges::find(*kept, source.dtype, &Precision::dtype);
    SHEAF_ASSIGN(const slices::Machine here, slices::detect_machine());
    if (found != kept->end() && found->tokens_per_s > 0)
      return found->tokens_per_s * cores / granted_cores(here);
  }
  return Error{
      ErrorCode::not_found,
      fmt::format("{}: its rate in {} is not known here; `sheaf models measure {}` measures "
                  "embedders, and measured_tokens_per_s in the file says that of others",
                  setting.source, source.dtype, setting.source)};
}

Result<Demand> demand_on_cores(const ModelSetting& setting, const ServeSettings& settings,
                               const std::string& program, std::uint32_t cores) {
  SHEAF_ASSIGN(const hub::ResolvedModel found, find_for_planning(setting.source, setting.revision));
  ModelSource source{found.folder, setting.pooling.value_or(settings.pooling)};
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  source.dtype = dtype_at_once(setting.dtype.value_or(settings.dtype), {program}, source);
  const std::uint32_t batch_tokens = setting.max_batch_tokens.value_or(settings.max_batch_tokens);
  const auto threads = static_cast<int>(std::min(cores, planner::kCoresPerReplica));
  SHEAF_ASSIGN(const ModelMemory memory, memory_of(program, source, batch_tokens, threads));
  SHEAF_ASSIGN(const double rate, rate_on_cores(setting, program, source, cores));
  const std::uint32_t cut = setting.max_length.value_or(settings.max_length);
  return Demand{.name = setting.name.empty() ? found.name : setting.name,
                .weights_bytes = memory.weights_bytes,
                .replica_bytes = memory.replica_bytes,
                .compute_tokens_per_s = rate,
                .bandwidth_tokens_per_s = rate,
                .wanted_tokens_per_s = setting.target_tokens_per_s,
                .p99_ms = setting.target_p99_ms,
                .batch_tokens = batch_tokens,
                .text_tokens = cut > 0 ? std::min(cut, spec.max_length) : spec.max_length,
                .isolation = isolation_of(setting.isolation)};
}

ordered_json json_of_share(const Demand& demand, const CoreShare& share) {
  return {{"name", demand.name},
          {"cores", share.cores},
          {"replicas", share.replicas},
          {"wanted_tokens_per_s", demand.wanted_tokens_per_s},
          {"tokens_per_s", share.tokens_per_s},
          {"wanted_p99_ms", demand.p99_ms},
          {"p99_ms", share.p99_ms},
          {"weights_bytes", demand.weights_bytes},
          {"replica_bytes", demand.replica_bytes},
          {"met", share.met},
          {"reason", share.reason}};
}

}  // namespace

Result<std::vector<Demand>> demands_on_cores(const ServeSettings& settings, std::uint32_t cores) {
  SHEAF_ASSIGN(const std::string program, find_replica_program(settings.replica_program));
  std::vector<Demand> demands;
  for (const ModelSetting& model : settings.models) {
    SHEAF_ASSIGN(Demand demand, demand_on_cores(model, settings, program, cores));
    demands.push_back(std::move(demand));
  }
  return demands;
}

Result<CoreMachine> cores_here() {
  SHEAF_ASSIGN(const slices::Machine here, slices::detect_machine());
  CoreMachine machine;
  machine.cores = granted_cores(here);
  for (const slices::NumaNode& node : here.nodes) machine.memory_bytes += node.memory_bytes;
  return machine;
}

std::string table_of(const CoreMachine& machine, std::span<const Demand> demands,
                     const CorePlan& plan) {
  std::string out = fmt::format("cores: {}; memory: {} of {} to be used\n\n", machine.cores,
                                human_bytes(static_cast<double>(plan.used_bytes)),
                                human_bytes(static_cast<double>(plan.usable_bytes)));
  Table table(
      {{"model"}, {"cores"}, {"replicas"}, {"tok/s"}, {"wanted"}, {"p99 ms"}, {"wanted"}, {"met"}});
  std::string reasons;
  for (std::size_t i = 0; i < demands.size(); ++i) {
    const CoreShare& share = plan.models[i];
    table.add_row({one_line(short_name(demands[i].name), 26),
                   share.cores > 0 ? fmt::format("{}", share.cores) : "all",
                   fmt::format("{}", share.replicas), rate_or_none(share.tokens_per_s),
                   rate_or_none(demands[i].wanted_tokens_per_s),
                   demands[i].p99_ms > 0 ? fmt::format("{:.0f}", share.p99_ms) : "-",
                   demands[i].p99_ms > 0 ? fmt::format("{:.0f}", demands[i].p99_ms) : "-",
                   share.met ? "yes" : "no"});
    reasons += wrapped(fmt::format("  {}: {}", one_line(demands[i].name, 40), share.reason), 4);
  }
  out += table.render() + reasons;
  if (!plan.fits()) out += "  memory does not suffice: fewer models, or int8\n";
  return out +
         "\nassumed: rates grow with the cores; a batch of 100 ms unless\nmax_batch_tokens is "
         "set\n";
}

ordered_json json_of(const CoreMachine& machine, std::span<const Demand> demands,
                     const CorePlan& plan) {
  ordered_json json = {{"cores", machine.cores},
                       {"used_bytes", plan.used_bytes},
                       {"usable_bytes", plan.usable_bytes},
                       {"fits", plan.fits()},
                       {"models", ordered_json::array()}};
  for (std::size_t i = 0; i < demands.size(); ++i)
    json["models"].push_back(json_of_share(demands[i], plan.models[i]));
  return json;
}

}  // namespace sheaf::cli
