#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "cli/card_sharing.h"
#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/flag_set.h"
#include "cli/model_files.h"
#include "cli/model_memory.h"
#include "cli/precision.h"
#include "cli/replica_program.h"
#include "cli/sample_texts.h"
#include "cli/table.h"
#include "model/spec/product_dtype.h"
#include "router/served_model.h"

// `sheaf models`: what the machine's cache holds, what a model is, and getting one.
namespace sheaf::cli {
namespace {

// Names of folders need not be UTF-8.
constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

struct ModelsSettings {
  std::vector<std::string> words;  // verb and name
  std::string revision;
  std::string pooling;
  std::uint32_t max_batch_tokens = 0;
  bool json = false;
};

FlagSet flags_for(ModelsSettings& s) {
  FlagSet flags("sheaf models [list | show MODEL | pull MODEL | measure MODEL] [flags]",
                "Models on this machine. MODEL is a hub name or a folder.");
  flags.add_positional("VERB", s.words);
  flags.add({"revision", "R", "commit, branch or tag on the hub", "", "main"}, text(s.revision));
  flags.add({"pooling", "P", "cls, last_token, splade, rerank, ...", "", "the model's"},
            checked_text(s.pooling, model::check_pooling));
  flags.add({"max-batch-tokens", "N", "whose memory show estimates", "", "16384"},
            whole_number(s.max_batch_tokens, 1, 1u << 30));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "list (the default): the cache; show: what a model is; pull: fetch its files;\n"
      "measure: speed and accuracy of each dtype here, which --dtype auto goes by.\n"
      "The cache is the Hugging Face one: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf models pull sentence-transformers/all-MiniLM-L6-v2\n");
  return flags;
}

int list(const ModelsSettings& settings) {
  const auto models = hub::list_cached_models(hub::HubOptions::from_environment());
  if (settings.json) {
    auto json = nlohmann::json::array();
    for (const hub::CachedModel& model : models)
      json.push_back({{"name", model.name},
                      {"revision", model.revision},
                      {"bytes", model.bytes},
                      {"folder", model.folder}});
    fmt::print("{}\n", json.dump(2, ' ', false, kReplace));
    return kExitOk;
  }
  if (models.empty()) {
    fmt::print("no models in {}\n", hub::HubOptions::from_environment().cache_folder);
    return kExitOk;
  }
  Table table({{"model"}, {"revision", true}, {"size"}});
  for (const hub::CachedModel& model : models)
    table.add_row(
        {model.name, model.revision.substr(0, 8), human_bytes(static_cast<double>(model.bytes))});
  fmt::print("{}", table.render());
  return kExitOk;
}

// What it can be asked for, and of how many numbers.
nlohmann::ordered_json outputs_of(const model::ModelSpec& spec) {
  auto outputs = nlohmann::ordered_json::object();
  if (spec.task() != model::Task::embed) return outputs;
  for (const model::Output output : spec.outputs())
    outputs[std::string(name_of(output))] = spec.width_of(output);
  return outputs;
}

nlohmann::ordered_json facts_of(const std::vector<Precision>& precisions) {
  auto facts = nlohmann::ordered_json::array();
  for (const Precision& one : precisions) {
    facts.push_back({{"dtype", one.dtype},
                     {"backend", one.backend},
                     {"tokens_per_s", std::round(one.tokens_per_s)},
                     {"mean_cosine", one.mean_cosine},
                     {"min_cosine", one.min_cosine},
                     {"accurate", one.is_accurate()}});
    if (one.of_layers == 0) continue;
    facts.back()["fp8_layers"] = model::parse_product_dtype(one.dtype)->fp8_layers.value();
    facts.back()["of_layers"] = one.of_layers;
  }
  return facts;
}

// "" where there is nothing to compare.
std::string_view similarity_of(const model::ModelSpec& spec) {
  return spec.gives(model::Output::vector) && spec.task() == model::Task::embed
             ? name_of(spec.similarity)
             : "";
}

nlohmann::ordered_json facts_of(const std::map<std::string, std::vector<Precision>>& on_cards) {
  auto facts = nlohmann::ordered_json::array();
  for (const auto& [card, precisions] : on_cards)
    facts.push_back({{"card", card},
                     {"auto", best_precision(precisions).dtype},
                     {"precisions", facts_of(precisions)}});
  return facts;
}

nlohmann::ordered_json facts_of(const std::map<std::string, CardSharing>& on_cards) {
  auto facts = nlohmann::ordered_json::array();
  for (const auto& [on, sharing] : on_cards) {
    auto steps = nlohmann::ordered_json::array();
    for (const SharingStep& step : sharing)
      steps.push_back({{"replicas", step.replicas},
                       {"streams", step.streams},
                       {"tokens_per_s", std::round(step.tokens_per_s)}});
    const SharingStep best = best_sharing(sharing);
    facts.push_back({{"on", on},
                     {"auto", best.replicas},
                     {"auto_streams", best.streams},
                     {"measured", std::move(steps)}});
  }
  return facts;
}

// What the other columns leave of 80, and no less than "bfloat16" needs.
std::size_t dtype_columns(const std::vector<Precision>& precisions) {
  constexpr std::size_t kOthers = 50, kLine = 80, kLeast = 8;
  std::size_t backend = 0;
  for (const Precision& one : precisions) backend = std::max(backend, one.backend.size());
  return std::max(kLine - std::min(kLine, kOthers + backend), kLeast);
}

// In which layers those were measured that name some.
std::string layers_of(const std::vector<Precision>& precisions, std::size_t columns) {
  std::string layers;
  for (const Precision& one : precisions)
    if (one.of_layers > 0)
      layers += wrapped(
          fmt::format("{}: in the feed-forward parts of layers {} of {}, which were chosen by "
                      "measuring; bfloat16 in the others",
                      one_line(one.dtype, columns), layers_named(one.dtype), one.of_layers),
          0);
  return layers;
}

std::string precision_table(const std::vector<Precision>& precisions, std::string_view rates) {
  if (precisions.front().tokens_per_s == 0)
    return "precisions of a classifier are not measured: --dtype auto is float32\n";
  const Precision& best = best_precision(precisions);
  const std::size_t columns = dtype_columns(precisions);
  Table table({{"dtype"},
               {"backend"},
               {"tokens/s", true},
               {"mean cosine", true},
               {"least", true},
               {"accurate"},
               {"auto"}});
  for (const Precision& one : precisions)
    table.add_row({one_line(one.dtype, columns), one.backend,
                   fmt::format("{:.0f}", one.tokens_per_s), fmt::format("{:.5f}", one.mean_cosine),
                   fmt::format("{:.5f}", one.min_cosine), one.is_accurate() ? "yes" : "no",
                   &one == &best ? "*" : ""});
  return fmt::format(
      "{}{}accurate: answers to {} sample texts have cosines to float32's of 0.999 in the\n"
      "mean and 0.995 at least; *: --dtype auto, the fastest accurate one that gains a\n"
      "tenth. Rates are of {}.\n",
      table.render(), layers_of(precisions, columns), sample_texts().size(), rates);
}
constexpr std::string_view kOnCores = "all cores, as busy as they were";

std::string sharing_table(const std::map<std::string, CardSharing>& on_cards) {
  std::string text = "Replicas a card and streams of each, of which auto takes *:\n";
  for (const auto& [on, sharing] : on_cards) {
    text += wrapped(on, 2);
    const SharingStep best = best_sharing(sharing);
    Table table({{"replicas"}, {"streams"}, {"tokens/s", true}, {"auto"}});
    for (const SharingStep& step : sharing) {
      const bool is_best = step.replicas == best.replicas && step.streams == best.streams;
      table.add_row({std::to_string(step.replicas), std::to_string(step.streams),
                     fmt::format("{:.0f}", step.tokens_per_s), is_best ? "*" : ""});
    }
    text += table.render();
  }
  return text;
}

int show(const std::string& source, const ModelsSettings& settings) {
  auto hub = hub::HubOptions::from_environment();
  hub.offline = true;  // what is here; `pull` is the verb that fetches
  hub.offline_because = "`sheaf models pull` fetches it";
  const auto found = fetch_model(source, settings.revision, hub);
  if (!found.ok()) return fail("models", found.error());
  // As it would be served, tokenizer included: what is shown can be.
  const auto served = router::ServedModel::load(
      {.name = found->name, .folder = found->folder, .pooling = settings.pooling});
  if (!served.ok()) return fail("models", served.error());
  const model::ModelSpec* spec = &(*served)->info().spec;

  const auto program = find_replica_program("");
  if (!program.ok()) return fail("models", program.error());
  ModelSource model_source{found->folder, settings.pooling};
  const auto precisions = kept_precisions({*program}, model_source);
  const auto on_cards = kept_precisions_on_cards(model_source);
  const auto sharing = kept_sharing_on_cards(model_source);
  model_source.dtype = dtype_at_once("auto", {*program}, model_source);
  const auto memory = memory_of(*program, model_source, settings.max_batch_tokens,
                                static_cast<int>(std::thread::hardware_concurrency()));
  if (!memory.ok()) return fail("models", memory.error());

  // One list for both forms, so that they cannot differ.
  const nlohmann::ordered_json facts = {
      {"name", found->name},
      {"revision", found->revision},
      {"folder", found->folder},
      {"architecture", model::name_of(spec->architecture)},
      {"model_type", spec->model_type},
      {"kind", model::kind_of(*spec)},
      {"layers", spec->layers},
      {"hidden_size", spec->hidden_size},
      {"heads", spec->heads},
      {"kv_heads", spec->kv_heads},
      {"head_size", spec->head_size},
      {"intermediate_size", spec->intermediate_size},
      {"vocab_size", spec->vocab_size},
      {"dimensions", spec->dimensions},
      {"max_length_tokens", spec->max_length},
      {"positions", spec->positions},
      {"pooling", describe_pooling(*spec)},
      {"outputs", outputs_of(*spec)},
      {"extra_heads", extra_heads_of(*spec)},
      {"notes", notes_on(*spec)},
      {"similarity", similarity_of(*spec)},
      {"labels", spec->labels},
      {"prompts", spec->prompts},
      {"default_prompt", spec->default_prompt_name},
      {"parameters", spec->parameter_count},
      {"stored_dtype", spec->weights_dtype},
      {"dtype", model_source.dtype},
      {"precisions", precisions
                         ? facts_of(*precisions)
                         : nlohmann::ordered_json("not measured: sheaf models measure " + source)},
      {"precisions_on_cards", facts_of(on_cards)},
      {"replicas_on_cards", facts_of(sharing)},
      {"weights_bytes", memory->weights_bytes},
      {"replica_bytes", memory->replica_bytes},
      {"max_batch_tokens", memory->max_batch_tokens},
  };
  if (settings.json) {
    fmt::print("{}\n", facts.dump(2, ' ', false, kReplace));
    return kExitOk;
  }
  for (const auto& [key, value] : facts.items()) {
    if (value == "" || (value.is_structured() && value.empty())) continue;  // a folder: no revision
    if (key == "precisions" && precisions) continue;
    if (key == "precisions_on_cards" || key == "replicas_on_cards") continue;
    fmt::print("{:<18} {}\n", key,
               value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, kReplace));
  }
  if (precisions) fmt::print("\n{}", precision_table(*precisions, kOnCores));
  for (const auto& [card, measured] : on_cards)
    fmt::print("\n{}", precision_table(measured, "one replica on " + card));
  if (!sharing.empty()) fmt::print("\n{}", sharing_table(sharing));
  return kExitOk;
}

int measure(const std::string& source, const ModelsSettings& settings) {
  auto hub = hub::HubOptions::from_environment();
  hub.offline = true;
  hub.offline_because = "`sheaf models pull` fetches it";
  const auto found = fetch_model(source, settings.revision, hub);
  if (!found.ok()) return fail("models", found.error());
  const auto program = find_replica_program("");
  if (!program.ok()) return fail("models", program.error());
  const ModelSource model_source{found->folder, settings.pooling};
  const auto lock = lock_precisions({*program}, model_source, found->name);
  const auto measured = measure_precisions({*program}, found->name, model_source);
  if (!measured.ok()) return fail("models", measured.error());
  if (const Status kept = keep_precisions({*program}, model_source, *measured); !kept.ok())
    fmt::print(stderr, "sheaf models: what was measured cannot be kept (SHEAF_CACHE): {}\n",
               kept.error().message);
  const std::string& best = best_precision(*measured).dtype;
  if (settings.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{
                   {"name", found->name}, {"auto", best}, {"precisions", facts_of(*measured)}}
                   .dump(2, ' ', false, kReplace));
    return kExitOk;
  }
  fmt::print("{}", precision_table(*measured, kOnCores));
  return kExitOk;
}

int pull(const std::string& source, const ModelsSettings& settings) {
  const auto found = fetch_model(source, settings.revision, hub::HubOptions::from_environment());
  if (!found.ok()) return fail("models", found.error());
  if (settings.json) {
    const nlohmann::json json = {
        {"name", found->name}, {"revision", found->revision}, {"folder", found->folder}};
    fmt::print("{}\n", json.dump(2, ' ', false, kReplace));
  } else {
    fmt::print("{} {}\n{}\n", found->name, found->revision.substr(0, 8), found->folder);
  }
  return kExitOk;
}

int run_verb(const ModelsSettings& settings) {
  const std::string verb = settings.words.empty() ? "list" : settings.words[0];
  const bool needs_name = verb == "show" || verb == "pull" || verb == "measure";
  if (!needs_name && verb != "list")
    return fail("models",
                {ErrorCode::invalid_argument,
                 fmt::format("'{}' is not one of list, show, pull, measure", verb)},
                kExitUsage);
  if (settings.words.size() != (needs_name ? 2 : settings.words.empty() ? 0 : 1))
    return fail("models",
                {ErrorCode::invalid_argument,
                 needs_name ? fmt::format("{} takes one model", verb) : "list takes no argument"},
                kExitUsage);
  if (verb == "list") return list(settings);
  if (verb == "measure") return measure(settings.words[1], settings);
  return verb == "show" ? show(settings.words[1], settings) : pull(settings.words[1], settings);
}

}  // namespace

int models_command(Arguments arguments) {
  ModelsSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done = take_client_flags("models", flags, arguments)) return *done;
  return run_verb(settings);
}

}  // namespace sheaf::cli
