#include "cli/plan_question.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "cli/plan_cards.h"
#include "cli/plan_cores.h"
#include "cli/plan_model.h"
#include "cli/plan_report.h"
#include "cli/slices.h"
#include "model/spec/product_dtype.h"
#include "planner/rates.h"

namespace sheaf::cli {
namespace {

Error wrong(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

std::string dtype_of(const ModelSetting& model, const ServeSettings& serve,
                     const PlanQuestion& question) {
  return !question.dtype.empty() ? question.dtype : model.dtype.value_or(serve.dtype);
}

Result<planner::Demand> demand_of(const ModelSetting& setting, const ServeSettings& serve,
                                  const PlanQuestion& question, const slices::CardModel& card) {
  SHEAF_ASSIGN(const planner::ModelFacts model,
               facts_for_planning(setting.name, setting.source, setting.revision,
                                  setting.pooling.value_or(serve.pooling)));
  const std::uint32_t batch_tokens = setting.max_batch_tokens.value_or(serve.max_batch_tokens);
  SHEAF_ASSIGN(planner::Load load, load_in(dtype_of(setting, serve, question), model));
  load.batch_tokens = batch_tokens > 0 ? batch_tokens : planner::kBatchTokens;
  load.max_length = setting.max_length.value_or(serve.max_length);
  SHEAF_ASSIGN(load.streams, parse_streams(setting.streams.value_or(serve.streams)));
  const planner::Memory memory = planner::memory_of(model, load);
  SHEAF_ASSIGN(const planner::Rates rates,
               planner::rates_of(model, load, card, setting.measured_tokens_per_s));
  return planner::Demand{
      .name = model.name,
      .weights_bytes = memory.weights_bytes,
      .replica_bytes = memory.replica_bytes(),
      .workspace_bytes = memory.workspace_bytes,
      .compute_tokens_per_s = rates.compute_tokens_per_s,
      .bandwidth_tokens_per_s = rates.bandwidth_tokens_per_s,
      .wanted_tokens_per_s = setting.target_tokens_per_s,
      .p99_ms = setting.target_p99_ms,
      .batch_tokens = batch_tokens,
      .text_tokens = std::min(load.max_length > 0 ? load.max_length : model.spec.max_length,
                              model.spec.max_length),
      .isolation = isolation_of(setting.isolation)};
}

Result<PlanCards> cards_for(const PlanQuestion& question, const ServeSettings& serve,
                            const SlicesHere& here) {
  const bool fp8 = std::ranges::any_of(serve.models, [&](const ModelSetting& model) {
    return model::dtype_name_in(dtype_of(model, serve, question)) == "fp8";
  });
  if (!question.gpu.empty()) return described_cards(question.gpu, std::max(question.count, 1u));
  if (here.no_gpus_because.empty()) return cards_here(here.gpus, fp8);
  return Error{ErrorCode::not_found,
               fmt::format("no cards here to plan for ({}); --gpu h200 --count 8 describes others",
                           here.no_gpus_because)};
}

// What was planned with is to be served with.
void add_flags(const PlanQuestion& question, PlanServing& serving) {
  const auto add = [&serving](const char* flag, std::string value) {
    serving.arguments.emplace_back(flag);
    serving.arguments.push_back(std::move(value));
  };
  if (!question.dtype.empty()) add("--dtype", question.dtype);
  if (question.memory_utilization != PlanQuestion().memory_utilization)
    add("--gpu-memory-utilization", fmt::format("{}", question.memory_utilization));
}

Result<PlanAnswer> answer_for_cards(const PlanQuestion& question, const ServeSettings& serve) {
  SlicesHere here;
  if (question.gpu.empty()) {
    SHEAF_ASSIGN(here, look_at_slices());
  }
  SHEAF_ASSIGN(const PlanCards cards, cards_for(question, serve, here));
  std::vector<planner::Demand> demands;
  for (const ModelSetting& model : serve.models) {
    SHEAF_ASSIGN(planner::Demand demand, demand_of(model, serve, question, *cards.model));
    demands.push_back(std::move(demand));
  }
  const planner::Machine machine = planner::machine_of(
      *cards.model, static_cast<std::uint32_t>(cards.indexes.size()), question.memory_utilization);
  const planner::Plan plan = planner::make_plan(machine, demands);
  PlanServing serving = serving_on(cards, demands, plan, serve);
  if (question.gpu.empty()) name_slices(here.gpus, serve, serving);
  add_flags(question, serving);
  return PlanAnswer{.table = table_of(machine, cards, demands, plan),
                    .facts = json_of(machine, cards, demands, plan),
                    .serving = std::move(serving),
                    .cut = mig_configs_of(cards, plan),
                    .met = plan.score.unserved + plan.score.unmet == 0};
}

// As --streams is beside --cores.
Status check_streams_on_cores(const ServeSettings& serve) {
  for (const ModelSetting& model : serve.models) {
    SHEAF_ASSIGN(const std::uint32_t streams, parse_streams(model.streams.value_or(serve.streams)));
    if (streams > 1)
      return wrong(
          fmt::format("model {}: streams: {}: they are of replicas on cards, and cores "
                      "are planned for without cards",
                      model.name.empty() ? model.source : model.name, streams));
  }
  return {};
}

Result<PlanAnswer> answer_for_cores(const PlanQuestion& question, const ServeSettings& serve) {
  SHEAF_TRY(check_streams_on_cores(serve));
  SHEAF_ASSIGN(planner::CoreMachine machine, cores_here());
  if (question.cores != "here")
    machine.cores = static_cast<std::uint32_t>(parse_whole_number(question.cores, 1, 4096).value());
  if (question.memory_bytes > 0) machine.memory_bytes = question.memory_bytes;
  SHEAF_ASSIGN(const std::vector<planner::Demand> demands, demands_on_cores(serve, machine.cores));
  const planner::CorePlan plan = planner::plan_cores(machine, demands);
  const bool met = std::ranges::all_of(plan.models, &planner::CoreShare::met);
  std::vector<std::uint32_t> replicas;
  for (const planner::CoreShare& share : plan.models) replicas.push_back(share.replicas);
  PlanServing serving = serving_on_cores(demands, replicas, serve);
  add_flags(question, serving);
  return PlanAnswer{.table = table_of(machine, demands, plan),
                    .facts = json_of(machine, demands, plan),
                    .serving = std::move(serving),
                    .cut = "",
                    .met = met && plan.fits()};
}

}  // namespace

Status check_plan_question(const PlanQuestion& question, std::string_view dashes) {
  if (question.memory_utilization > 1)
    return wrong(fmt::format("{}gpu-memory-utilization {}: is more than all of it, 1", dashes,
                             question.memory_utilization));
  if (!question.cores.empty() && !question.gpu.empty())
    return wrong(fmt::format("{0}cores plans without cards: leave out {0}gpu", dashes));
  if (!question.cores.empty() && question.cores != "here")
    if (const auto number = parse_whole_number(question.cores, 1, 4096); !number.ok())
      return wrong(fmt::format("{}cores: {}, nor here", dashes, number.error().message));
  if (question.memory_bytes > 0 && question.cores.empty())
    return wrong(fmt::format(
        "{0}memory belongs to {0}cores; {0}gpu takes memory itself: {0}gpu 24GiB", dashes));
  if (question.count > 0 && question.gpu.empty())
    return wrong(
        fmt::format("{0}count counts the cards of {0}gpu that the models are planned for", dashes));
  return {};
}

std::string PlanAnswer::json() const {
  nlohmann::ordered_json all = facts;
  all["serve"] = json_of(serving);
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<PlanAnswer> answer_plan(const PlanQuestion& question, const ServeSettings& serve) {
  return question.cores.empty() ? answer_for_cards(question, serve)
                                : answer_for_cores(question, serve);
}

}  // namespace sheaf::cli
