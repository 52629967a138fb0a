#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/flag_set.h"
#include "cli/partition_file.h"
#include "cli/plan_cards.h"
#include "cli/plan_model.h"
#include "cli/plan_question.h"
#include "cli/serve_settings.h"
#include "cli/slices.h"
#include "model/spec/spec.h"
#include "planner/capacity.h"
#include "slices/drain.h"
#include "slices/mig_journal.h"
#include "slices/slice_helper.h"

// `sheaf plan`: which slices and replicas a configuration needs on cards that need not be here, and
// `sheaf plan model`: whether a model fits one.
namespace sheaf::cli {
namespace {

constexpr int kWaitMs = 10'000;  // for another's change of the cards

struct PlanSettings {
  std::vector<std::string> words;  // "model" and its name, or nothing
  std::string config;
  PlanQuestion asked;
  std::uint32_t max_length = 0;
  std::uint32_t max_batch_tokens = 0;
  std::string streams;  // empty: as the models say
  std::uint32_t instances = 1;
  std::string revision;
  std::string pooling;
  bool cut = false, apply = false, drain = false;
  std::string output;
  bool json = false;

  bool is_capacity() const { return !words.empty(); }
};

FlagSet flags_for(PlanSettings& s) {
  FlagSet flags("sheaf plan {-c sheaf.yaml | model MODEL} [--gpu GPU] [flags]",
                "Proposes slices and replicas for the models of a file, or says whether\n"
                "a model fits a card, which need not be here.");
  flags.add_positional("VERB", s.words);
  flags.add({"config", "FILE", "whose models to plan for; or -c FILE"}, text(s.config));
  flags.add({"gpu", "GPU", "h200, a100-40/1g.5gb, 24GiB", "", "here; model: needed"},
            text(s.asked.gpu));
  flags.add({"count", "N", "such cards in the machine", "", "1"},
            whole_number(s.asked.count, 1, 64));
  flags.add({"cores", "N|here", "plan for processor cores instead of cards"}, text(s.asked.cores));
  flags.add({"memory", "BYTES", "of a machine of such cores", "", "that here"},
            byte_count(s.asked.memory_bytes));
  flags.add({"dtype", "T", "auto, float32, bfloat16, int8, fp8, fp8:0,2-4"},
            checked_text(s.asked.dtype, [](std::string_view name) -> Status {
              SHEAF_TRY(load_in(name));
              return {};
            }));
  flags.add({"max-length", "N", "tokens a text is cut to", "", "the model's"},
            whole_number(s.max_length, 1, 1u << 20));
  flags.add({"max-batch-tokens", "N", "tokens of the largest batch", "", "16384"},
            whole_number(s.max_batch_tokens, 1, 1u << 22));
  flags.add({"streams", "N", "batches at once, of a replica on a card", "", "1"},
            checked_text(s.streams, check_streams_setting));
  flags.add({"gpu-memory-utilization", "F", "share of its memory to use"},
            positive_real(s.asked.memory_utilization));
  flags.add({"instances", "N", "model: slices wanted, each with a replica"},
            whole_number(s.instances, 1, 1024));
  flags.add({"revision", "R", "model: commit, branch or tag", "", "main"}, text(s.revision));
  flags.add({"pooling", "P", "model: as sheaf serve takes it", "", "the model's"},
            checked_text(s.pooling, model::check_pooling));
  flags.add({"apply", "", "cut the cards here as planned"}, boolean(s.apply));
  flags.add({"drain", "", "apply: replicas of sheaf serve move away first"}, boolean(s.drain));
  flags.add({"cut", "", "print the cut for `sheaf slices apply` instead"}, boolean(s.cut));
  flags.add({"output", "FILE", "cut: where to write it", "", "printed"}, text(s.output));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "Models go by target, isolation and measured_tokens_per_s of the file\n"
      "(deploy/sheaf.yaml); what is assumed is printed with the plan (docs/plan.md).\n"
      "Without --dtype: as the file says, auto being bfloat16; one model in each.\n"
      "exit codes: 0 all fits, 1 something does not or failed, 2 wrong usage\n"
      "example: sheaf plan -c sheaf.yaml --gpu h200 --count 8\n");
  return flags;
}

constexpr std::uint64_t kLeastCardBytes = 256 << 20;

Error usage(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

Status check(const PlanSettings& s) {
  if (s.is_capacity() && (s.words.size() != 2 || s.words[0] != "model"))
    return usage("`sheaf plan` takes -c FILE, or the words: model MODEL");
  if (s.is_capacity() && (!s.config.empty() || s.apply || s.cut))
    return usage(
        "`sheaf plan model` plans for one model: --config, --apply and --cut are for files");
  if (!s.is_capacity() && s.config.empty())
    return usage("nothing to plan for: name a file, -c sheaf.yaml, or a model: sheaf plan model M");
  if (!s.output.empty() && !s.cut) return usage("--output says where --cut writes to");
  if (s.drain && !s.apply) return usage("--drain goes with --apply");
  if (s.apply && s.cut) return usage("--cut writes what --apply does; leave one of them out");
  if (s.apply && !s.asked.gpu.empty())
    return usage(
        "--apply cuts the cards here; those of --gpu are only described, and --cut writes "
        "their cut");
  if (!s.asked.cores.empty() && (s.is_capacity() || s.apply || s.cut))
    return usage(
        "--cores plans for a file's models without cards: leave out --apply, --cut, MODEL");
  if (!s.asked.cores.empty() && !s.streams.empty())
    return usage("--streams are of replicas on cards, and --cores plans without cards");
  if (s.asked.count > 0 && s.is_capacity())
    return usage("--count counts the cards of --gpu that a file's models are planned for");
  SHEAF_TRY(check_plan_question(s.asked, "--"));
  if (!s.is_capacity() && !s.asked.gpu.empty()) SHEAF_TRY(described_cards(s.asked.gpu, 1));
  if (s.asked.gpu.empty() && s.is_capacity())
    return usage(
        "--gpu says what to plan for: a card (h200), a slice (a100-40/1g.5gb) or memory "
        "(24GiB)");
  return {};
}

Result<planner::Load> load_of(const PlanSettings& s) {
  planner::Load load;
  if (!s.streams.empty()) {
    SHEAF_ASSIGN(load.streams, parse_streams(s.streams));
  }
  load.batch_tokens = s.max_batch_tokens > 0 ? s.max_batch_tokens : planner::kBatchTokens;
  load.max_length = s.max_length;
  return load;
}

int plan_model(const PlanSettings& s) {
  const auto gpu = parse_gpu(s.asked.gpu);
  if (!gpu.ok()) return fail("plan", gpu.error(), kExitUsage);
  if (gpu->memory_bytes < kLeastCardBytes)
    return fail("plan",
                usage(fmt::format(
                    "--gpu {}: no card has {} bytes{}", s.asked.gpu, gpu->memory_bytes,
                    std::ranges::all_of(s.asked.gpu, [](char c) { return c >= '0' && c <= '9'; })
                        ? "; a unit belongs to it, as in 24GiB"
                        : "")),
                kExitUsage);
  const auto model = facts_for_planning("", s.words[1], s.revision, s.pooling);
  if (!model.ok()) return fail("plan", model.error());
  const auto load = load_of(s);
  if (!load.ok()) return fail("plan", load.error(), kExitUsage);
  const auto report = report_capacity(
      *model, {*load, s.asked.dtype, *gpu, s.asked.memory_utilization, s.instances}, s.json);
  if (!report.ok())
    return fail("plan", report.error(),
                report.error().code == ErrorCode::invalid_argument ? kExitUsage : kExitFailed);
  fmt::print("{}", report->text);
  if (report->fits) return kExitOk;
  return fail("plan", {ErrorCode::unsupported, report->refusal});
}

int print_cut(const PlanSettings& s, const PlanAnswer& answer) {
  if (s.output.empty()) {
    fmt::print("{}", answer.cut);
  } else {
    std::ofstream file(s.output);
    file << answer.cut;
    file.close();
    if (!file) return fail("plan", {ErrorCode::io, s.output + ": cannot be written"});
  }
  fmt::print(stderr, "sheaf plan: nothing was cut; `sheaf slices apply {}` does that\n",
             s.output.empty() ? "FILE" : s.output);
  return answer.met ? kExitOk : kExitFailed;
}

// As `sheaf slices apply` does it, with the same journal and the same undoing.
Status apply_cut(const PlanAnswer& answer, bool drain) {
  if (!answer.met)
    return Error{ErrorCode::unsupported,
                 "nothing was cut, as not all that is wanted can be had; --cut writes the cut all "
                 "the same"};
  slices::MigRequest request{.verb = slices::MigRequest::Verb::apply};
  SHEAF_ASSIGN(request.wishes, parse_partitions(answer.cut, "the plan", ""));
  SHEAF_ASSIGN(const slices::ChangeReport report,
               (drain ? slices::request_change_after_drain : slices::request_change)(
                   slices::default_slices_folder(), request, kWaitMs, "sheaf plan --apply"));
  for (const std::string& step : report.steps) fmt::print(stderr, "{}\n", step);
  for (const std::string& owed : report.owed) fmt::print(stderr, "{}\n", owed);
  if (report.steps.empty() && report.owed.empty())
    fmt::print(stderr, "the cards are cut so already\n");
  return {};
}

// The names of slices are known only once they are there.
Status apply_and_name(PlanAnswer& answer, bool drain, const ServeSettings& serve) {
  SHEAF_TRY(apply_cut(answer, drain));
  SHEAF_ASSIGN(const SlicesHere here, look_at_slices());
  name_slices(here.gpus, serve, answer.serving);
  return {};
}

// Flags beat what the file says, as they do of `sheaf serve`.
std::vector<std::string> load_flags(const PlanSettings& s) {
  std::vector<std::string> arguments;
  const auto add = [&arguments](const char* flag, std::string value) {
    arguments.emplace_back(flag);
    arguments.push_back(std::move(value));
  };
  if (s.max_length > 0) add("--max-length", std::to_string(s.max_length));
  if (s.max_batch_tokens > 0) add("--max-batch-tokens", std::to_string(s.max_batch_tokens));
  if (!s.streams.empty()) add("--streams", s.streams);
  return arguments;
}

Status read_file(const PlanSettings& s, ServeFlags& serve) {
  std::vector<std::string> arguments = load_flags(s);
  arguments.insert(arguments.end(), {"--config", s.config});
  // Cards compute in dtypes that the processor does not.
  if (!s.asked.dtype.empty() && !s.asked.cores.empty())
    arguments.insert(arguments.end(), {"--dtype", s.asked.dtype});
  return serve.read(arguments, [](const char*) { return nullptr; });
}

int plan_for_file(const PlanSettings& s) {
  ServeFlags serve;
  if (const Status read = read_file(s, serve); !read.ok())
    return fail("plan", read.error(), exit_code_of(read.error()));
  auto answer = answer_plan(s.asked, serve.settings());
  if (!answer.ok())
    return fail("plan", answer.error(),
                answer.error().code == ErrorCode::invalid_argument ? kExitUsage : kExitFailed);
  if (s.cut) return print_cut(s, *answer);
  const std::vector<std::string> flags = load_flags(s);
  answer->serving.arguments.insert(answer->serving.arguments.end(), flags.begin(), flags.end());
  if (!s.json) fmt::print("{}", answer->table);
  const Status cut = s.apply ? apply_and_name(*answer, s.drain, serve.settings()) : Status();
  fmt::print("{}", s.json ? answer->json() : "\n" + text_of(answer->serving, s.config));
  if (!cut.ok()) return fail("plan", cut.error());
  return answer->met ? kExitOk : kExitFailed;
}

}  // namespace

int plan_command(Arguments arguments) {
  PlanSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done =
          take_client_flags("plan", flags, arguments, [&settings] { return check(settings); }))
    return *done;
  if (settings.is_capacity()) return plan_model(settings);
  return plan_for_file(settings);
}

}  // namespace sheaf::cli
