#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/flag_set.h"
#include "cli/plan_cards.h"
#include "cli/plan_cores.h"
#include "cli/plan_model.h"
#include "cli/plan_report.h"
#include "cli/serve_settings.h"
#include "cli/slices.h"
#include "model/spec/spec.h"
#include "planner/capacity.h"
#include "planner/rates.h"

// `sheaf plan`: which slices and replicas a configuration needs on cards that need not be here, and
// `sheaf plan model`: whether a model fits one.
namespace sheaf::cli {
namespace {

struct PlanSettings {
  std::vector<std::string> words;  // "model" and its name, or nothing
  std::string config;
  std::string gpu;
  std::uint32_t count = 0;  // 0: one
  std::string dtype;
  std::uint32_t max_length = 0;
  std::uint32_t max_batch_tokens = 0;
  double memory_utilization = 0.9;
  std::uint32_t instances = 1;
  std::string revision;
  std::string pooling;
  std::string cores;  // a number, or "here"; empty: cards
  std::uint64_t memory_bytes = 0;
  bool apply = false;
  std::string output;
  bool json = false;

  bool is_capacity() const { return !words.empty(); }
};

FlagSet flags_for(PlanSettings& s) {
  FlagSet flags("sheaf plan {-c sheaf.yaml | model MODEL} [--gpu GPU] [flags]",
                "Proposes slices and replicas for the models of a file, or says whether\n"
                "a model fits a card. The card need not be here; nothing is changed.");
  flags.add_positional("VERB", s.words);
  flags.add({"config", "FILE", "whose models to plan for; or -c FILE"}, text(s.config));
  flags.add({"gpu", "GPU", "h200; model: a100-40/1g.5gb, 24GiB", "", "those here"}, text(s.gpu));
  flags.add({"count", "N", "such cards in the machine", "", "1"}, whole_number(s.count, 1, 64));
  flags.add({"cores", "N|here", "plan for processor cores instead of cards"}, text(s.cores));
  flags.add({"memory", "BYTES", "of a machine of such cores", "", "that here"},
            byte_count(s.memory_bytes));
  flags.add({"dtype", "T", "float32, bfloat16, float16, int8, fp8", "", "model: all"},
            checked_text(s.dtype, [](std::string_view name) -> Status {
              SHEAF_TRY(planner::parse_dtype(name));
              return {};
            }));
  flags.add({"max-length", "N", "tokens a text is cut to", "", "the model's"},
            whole_number(s.max_length, 1, 1u << 20));
  flags.add({"max-batch-tokens", "N", "tokens of the largest batch", "", "16384"},
            whole_number(s.max_batch_tokens, 1, 1u << 22));
  flags.add({"gpu-memory-utilization", "F", "share of its memory to use"},
            positive_real(s.memory_utilization));
  flags.add({"instances", "N", "model: slices wanted, each with a replica"},
            whole_number(s.instances, 1, 1024));
  flags.add({"revision", "R", "model: commit, branch or tag", "", "main"}, text(s.revision));
  flags.add({"pooling", "P", "model: as sheaf serve takes it", "", "the model's"},
            checked_text(s.pooling, model::check_pooling));
  flags.add({"apply", "", "print the cut for `sheaf slices apply` instead"}, boolean(s.apply));
  flags.add({"output", "FILE", "apply: where to write it", "", "printed"}, text(s.output));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "Models go by target, isolation and measured_tokens_per_s of the file\n"
      "(deploy/sheaf.yaml); what is assumed is printed with the plan (docs/plan.md).\n"
      "exit codes: 0 all fits, 1 something does not or failed, 2 wrong usage\n"
      "example: sheaf plan -c sheaf.yaml --gpu h200 --count 8\n");
  return flags;
}

Error usage(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

Status check(const PlanSettings& s) {
  if (s.memory_utilization > 1)
    return usage(fmt::format("--gpu-memory-utilization {}: is more than all of it, 1",
                             s.memory_utilization));
  if (s.is_capacity() && (s.words.size() != 2 || s.words[0] != "model"))
    return usage("`sheaf plan` takes -c FILE, or the words: model MODEL");
  if (s.is_capacity() && (!s.config.empty() || s.apply))
    return usage("`sheaf plan model` plans for one model: --config and --apply are for files");
  if (!s.is_capacity() && s.config.empty())
    return usage("nothing to plan for: name a file, -c sheaf.yaml, or a model: sheaf plan model M");
  if (!s.output.empty() && !s.apply) return usage("--output says where --apply writes to");
  if (!s.cores.empty() && (s.is_capacity() || !s.gpu.empty() || s.apply))
    return usage(
        "--cores plans for a file's models without cards: leave out --gpu, --apply, MODEL");
  if (!s.cores.empty() && s.cores != "here")
    if (const auto number = parse_whole_number(s.cores, 1, 4096); !number.ok())
      return usage(fmt::format("--cores: {}, nor here", number.error().message));
  if (s.memory_bytes > 0 && s.cores.empty())
    return usage("--memory belongs to --cores; --gpu takes memory itself: --gpu 24GiB");
  if (s.count > 0 && (s.gpu.empty() || s.is_capacity()))
    return usage("--count counts the cards of --gpu that a file's models are planned for");
  if (s.gpu.empty() && s.is_capacity())
    return usage(
        "--gpu says what to plan for: a card (h200), a slice (a100-40/1g.5gb) or memory "
        "(24GiB)");
  return {};
}

planner::Load load_of(const PlanSettings& s) {
  planner::Load load;
  load.batch_tokens = s.max_batch_tokens > 0 ? s.max_batch_tokens : planner::kBatchTokens;
  load.max_length = s.max_length;
  return load;
}

int plan_model(const PlanSettings& s) {
  const auto gpu = parse_gpu(s.gpu);
  if (!gpu.ok()) return fail("plan", gpu.error(), kExitUsage);
  const auto model = facts_for_planning("", s.words[1], s.revision, s.pooling);
  if (!model.ok()) return fail("plan", model.error());
  const auto report = report_capacity(
      *model, {load_of(s), s.dtype, *gpu, s.memory_utilization, s.instances}, s.json);
  if (!report.ok()) return fail("plan", report.error());
  fmt::print("{}", report->text);
  if (report->fits) return kExitOk;
  return fail("plan", {ErrorCode::unsupported, report->refusal});
}

// The file's dtypes are those of this machine's processor; "auto" is measured on a card before it
// is known, and half precision is what most models pass in.
Result<planner::Dtype> dtype_of(const ModelSetting& model, const ServeSettings& serve,
                                const PlanSettings& s) {
  const std::string& name = !s.dtype.empty() ? s.dtype : model.dtype.value_or(serve.dtype);
  return name == "auto" ? planner::Dtype::bfloat16 : planner::parse_dtype(name);
}

Result<planner::Demand> demand_of(const ModelSetting& setting, const ServeSettings& serve,
                                  const PlanSettings& s, const slices::CardModel& card) {
  SHEAF_ASSIGN(const planner::ModelFacts model,
               facts_for_planning(setting.name, setting.source, setting.revision,
                                  setting.pooling.value_or(serve.pooling)));
  const std::uint32_t batch_tokens = setting.max_batch_tokens.value_or(serve.max_batch_tokens);
  planner::Load load;
  SHEAF_ASSIGN(load.dtype, dtype_of(setting, serve, s));
  load.batch_tokens = batch_tokens > 0 ? batch_tokens : planner::kBatchTokens;
  load.max_length = setting.max_length.value_or(serve.max_length);
  const planner::Memory memory = planner::memory_of(model, load);
  SHEAF_ASSIGN(const planner::Rates rates,
               planner::rates_of(model, load, card, setting.measured_tokens_per_s));
  return planner::Demand{
      .name = model.name,
      .weights_bytes = memory.weights_bytes,
      .replica_bytes = memory.replica_bytes(),
      .compute_tokens_per_s = rates.compute_tokens_per_s,
      .bandwidth_tokens_per_s = rates.bandwidth_tokens_per_s,
      .wanted_tokens_per_s = setting.target_tokens_per_s,
      .p99_ms = setting.target_p99_ms,
      .batch_tokens = batch_tokens,
      .text_tokens = std::min(load.max_length > 0 ? load.max_length : model.spec.max_length,
                              model.spec.max_length),
      .isolation = isolation_of(setting.isolation)};
}

int print_cut(const PlanSettings& s, const PlanCards& cards, const planner::Plan& plan) {
  const std::string document = mig_configs_of(cards, plan);
  if (s.output.empty()) {
    fmt::print("{}", document);
  } else {
    std::ofstream file(s.output);
    file << document;
    file.close();
    if (!file) return fail("plan", {ErrorCode::io, s.output + ": cannot be written"});
  }
  fmt::print(stderr, "sheaf plan: nothing was cut; `sheaf slices apply {}` does that\n",
             s.output.empty() ? "FILE" : s.output);
  return plan.score.unserved + plan.score.unmet > 0 ? kExitFailed : kExitOk;
}

Result<PlanCards> cards_for(const PlanSettings& s) {
  if (!s.gpu.empty()) return described_cards(s.gpu, std::max(s.count, 1u));
  SHEAF_ASSIGN(const SlicesHere here, look_at_slices());
  if (here.no_gpus_because.empty()) return cards_here(here.gpus);
  return Error{ErrorCode::not_found,
               fmt::format("no cards here to plan for ({}); --gpu h200 --count 8 describes others",
                           here.no_gpus_because)};
}

// Flags beat what the file says, as they do of `sheaf serve`.
Status read_file(const PlanSettings& s, ServeFlags& serve) {
  std::vector<std::string> arguments = {"--config", s.config};
  const auto add = [&arguments](const char* flag, std::string value) {
    arguments.emplace_back(flag);
    arguments.push_back(std::move(value));
  };
  if (s.max_length > 0) add("--max-length", std::to_string(s.max_length));
  if (s.max_batch_tokens > 0) add("--max-batch-tokens", std::to_string(s.max_batch_tokens));
  // Cards compute in dtypes that the processor does not.
  if (!s.dtype.empty() && !s.cores.empty()) add("--dtype", s.dtype);
  return serve.read(arguments, [](const char*) { return nullptr; });
}

int plan_for_cores(const PlanSettings& s) {
  ServeFlags serve;
  if (const Status read = read_file(s, serve); !read.ok())
    return fail("plan", read.error(), kExitUsage);
  auto machine = cores_here();
  if (!machine.ok()) return fail("plan", machine.error());
  if (s.cores != "here")
    machine->cores = static_cast<std::uint32_t>(parse_whole_number(s.cores, 1, 4096).value());
  if (s.memory_bytes > 0) machine->memory_bytes = s.memory_bytes;
  const auto demands = demands_on_cores(serve.settings(), machine->cores);
  if (!demands.ok()) return fail("plan", demands.error());
  const planner::CorePlan plan = planner::plan_cores(*machine, *demands);
  fmt::print("{}", s.json ? json_of(*machine, *demands, plan) : table_of(*machine, *demands, plan));
  const bool met = std::ranges::all_of(plan.models, &planner::CoreShare::met);
  return met && plan.fits() ? kExitOk : kExitFailed;
}

int plan_for_cards(const PlanSettings& s) {
  const auto cards = cards_for(s);
  if (!cards.ok()) return fail("plan", cards.error(), s.gpu.empty() ? kExitFailed : kExitUsage);
  ServeFlags serve;
  if (const Status read = read_file(s, serve); !read.ok())
    return fail("plan", read.error(), kExitUsage);
  std::vector<planner::Demand> demands;
  for (const ModelSetting& model : serve.settings().models) {
    auto demand = demand_of(model, serve.settings(), s, *cards->model);
    if (!demand.ok()) return fail("plan", demand.error());
    demands.push_back(*std::move(demand));
  }
  const planner::Machine machine = planner::machine_of(
      *cards->model, static_cast<std::uint32_t>(cards->indexes.size()), s.memory_utilization);
  const planner::Plan plan = planner::make_plan(machine, demands);
  if (s.apply) return print_cut(s, *cards, plan);
  fmt::print("{}", s.json ? json_of(machine, *cards, demands, plan)
                          : table_of(machine, *cards, demands, plan));
  return plan.score.unserved + plan.score.unmet > 0 ? kExitFailed : kExitOk;
}

}  // namespace

int plan_command(Arguments arguments) {
  // The one flag of sheaf with a short form: planners are asked as compilers are.
  std::vector<std::string> words(arguments.begin(), arguments.end());
  for (std::string& word : words)
    if (word == "-c") word = "--config";
  PlanSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done =
          take_client_flags("plan", flags, words, [&settings] { return check(settings); }))
    return *done;
  if (settings.is_capacity()) return plan_model(settings);
  return settings.cores.empty() ? plan_for_cards(settings) : plan_for_cores(settings);
}

}  // namespace sheaf::cli
