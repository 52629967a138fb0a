#include "cli/plan_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/flag_value.h"
#include "cli/model_files.h"
#include "cli/precision.h"
#include "cli/table.h"
#include "model/spec/product_dtype.h"
#include "planner/capacity.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
using planner::Dtype;
using planner::Fit;

constexpr std::size_t kDtypeColumns = 9;  // which the other columns of the table leave

double gib(std::uint64_t count) { return static_cast<double>(count) / (1 << 30); }
std::string gib_number(std::uint64_t count) { return fmt::format("{:.2f}", gib(count)); }

Result<std::vector<Fit>> fits_of(const planner::ModelFacts& model, const CapacityQuestion& asked) {
  std::vector<Fit> fits;
  planner::Load load = asked.load;
  const auto add = [&] {
    fits.push_back(planner::fit_of(model, load, asked.gpu, asked.memory_utilization));
  };
  if (!asked.dtype.empty()) {
    SHEAF_ASSIGN(const planner::Load wanted, load_in(asked.dtype, model));
    load.dtype = wanted.dtype;
    load.fp8_layers = wanted.fp8_layers;
    add();
    return fits;
  }
  for (const Dtype dtype : planner::kDtypes) {
    load.dtype = dtype;
    add();
  }
  return fits;
}

// Dtype that a refusal speaks of: the one asked for, else half precision, as models are stored in.
planner::Load refused_load(const CapacityQuestion& asked, const std::vector<Fit>& fits) {
  if (fits.size() == 1) return fits.front().load;
  planner::Load load = asked.load;
  load.dtype = Dtype::bfloat16;
  return load;
}

std::string refusal_of(const planner::ModelFacts& model, const CapacityQuestion& asked,
                       const std::vector<Fit>& fits) {
  if (fits.size() == 1 && !fits.front().computable)
    return planner::lacks_fp8_text(model.name, asked.gpu.name,
                                   planner::compute_capability(*asked.gpu.card));
  return planner::refusal(model, refused_load(asked, fits), asked.gpu, asked.memory_utilization,
                          asked.instances);
}

std::string layers_of(const planner::Rank& rank) {
  if (rank.layers == 1) return fmt::format("{}", rank.first_layer);
  return fmt::format("{}-{}", rank.first_layer, rank.first_layer + rank.layers - 1);
}

// The layers of each rank; ranks that split heads have all of them.
std::string shares_of(const planner::Spread& spread) {
  const planner::Rank& first = spread.ranks.front();
  if (spread.tensor) return fmt::format("{}, {} heads each", layers_of(first), first.heads);
  std::string text;
  for (const planner::Rank& rank : spread.ranks)
    text += fmt::format("{}{}", &rank == &first ? "" : ", ", layers_of(rank));
  return text;
}

std::uint64_t fullest(const planner::Spread& spread) {
  std::uint64_t most = 0;
  for (const planner::Rank& rank : spread.ranks) most = std::max(most, rank.memory.total_bytes());
  return most;
}

// Of fp8 in named layers.
std::string layers_note(const planner::ModelFacts& model, const planner::Load& load) {
  const std::size_t layers = load.fp8_layers->size();
  if (layers == 0) return "fp8 in no layer; bfloat16 in all";
  return fmt::format("fp8 in the feed-forward parts of layer{} {}{}", layers > 1 ? "s" : "",
                     layers_named(dtype_text(load)),
                     layers < model.spec.layers ? "; bfloat16 in the others" : "");
}

// "22.7M", "4.02B".
std::string parameters_of(const planner::ModelFacts& model) {
  const auto count = static_cast<double>(model.parameters.total());
  return count < 1e9 ? human_count(count) : fmt::format("{:.2f}B", count / 1e9);
}

std::string kv_note(const planner::ModelFacts& model) {
  const std::uint64_t each = planner::kv_bytes_per_token(model, Dtype::bfloat16);
  std::string note =
      fmt::format("KV cache: none, as its texts are read once ({})", model::kind_of(model.spec));
  if (each > 0)
    note += fmt::format(";\n  generating would take {} for 1,000 tokens in 16 bits",
                        planner::gib_text(1000 * each));
  return note;
}

std::string trust_note(const planner::Gpu& gpu) {
  if (gpu.card == nullptr) return "";
  const slices::Certainty certainty =
      gpu.profile == nullptr ? gpu.card->memory_certainty : gpu.profile->memory_certainty;
  if (certainty == slices::Certainty::documented) return "";
  return fmt::format("its memory is {}, not from NVIDIA's documents",
                     certainty == slices::Certainty::inferred ? "inferred" : "a nominal figure");
}

std::string text_of(const planner::ModelFacts& model, const CapacityQuestion& asked,
                    const std::vector<Fit>& fits, const std::vector<planner::Spread>& spreads) {
  const model::ModelSpec& spec = model.spec;
  std::string out =
      fmt::format("{}\n{}, {} layers, {} parameters, texts of {} tokens\n", model.name,
                  model::kind_of(spec), spec.layers, parameters_of(model),
                  asked.load.max_length > 0 ? std::min(asked.load.max_length, spec.max_length)
                                            : spec.max_length);
  out += wrapped(
      fmt::format("{}: {:.2f} GiB, of which {:.2f} may be used; batches of {} tokens{}",
                  asked.gpu.name, gib(asked.gpu.memory_bytes), gib(fits.front().usable_bytes),
                  asked.load.batch_tokens,
                  asked.load.streams > 1 ? fmt::format(", {} at once", asked.load.streams) : ""),
      2);
  out += "\n";
  Table table({{"dtype"},
               {"weights"},
               {"activations"},
               {"KV cache"},
               {"context*"},
               {"workspace*"},
               {"all"},
               {"replicas"}});
  for (const Fit& fit : fits)
    table.add_row({one_line(dtype_text(fit.load), kDtypeColumns),
                   gib_number(fit.memory.weights_bytes), gib_number(fit.memory.activations_bytes),
                   gib_number(fit.memory.kv_cache_bytes), gib_number(fit.memory.context_bytes),
                   gib_number(fit.memory.workspace_bytes), gib_number(fit.memory.total_bytes()),
                   !fit.computable ? "no fp8" : fmt::format("{}", fit.replicas)});
  out += table.render();
  if (fits.front().load.fp8_layers) out += wrapped(layers_note(model, fits.front().load), 0);
  out += "\nGiB. Weights count once however many replicas, the rest for each. * assumed\n";
  out += kv_note(model) + "\n";
  if (const std::string trust = trust_note(asked.gpu); !trust.empty())
    out += fmt::format("{}: {}\n", asked.gpu.name, trust);
  if (spreads.empty()) return out;
  out += "\n" + wrapped(fmt::format("Over several cards of this kind, in {}{}:",
                                    dtype_text(refused_load(asked, fits)),
                                    asked.load.streams > 1 ? ", with --streams 1" : ""),
                        2);
  Table split({{"split by"}, {"cards"}, {"fullest"}, {"fits"}, {"layers of each rank", true}});
  for (const planner::Spread& spread : spreads)
    split.add_row({spread.tensor ? "heads" : "layers", fmt::format("{}", spread.ranks.size()),
                   planner::gib_text(fullest(spread)), spread.fits ? "yes" : "no",
                   shares_of(spread)});
  return out + split.render();
}

ordered_json json_of_fit(const Fit& fit) {
  return {{"dtype", dtype_text(fit.load)},
          {"weights_bytes", fit.memory.weights_bytes},
          {"activations_bytes", fit.memory.activations_bytes},
          {"kv_cache_bytes", fit.memory.kv_cache_bytes},
          {"context_bytes", fit.memory.context_bytes},
          {"workspace_bytes", fit.memory.workspace_bytes},
          {"total_bytes", fit.memory.total_bytes()},
          {"computable", fit.computable},
          {"replicas", fit.replicas}};
}

ordered_json json_of_spread(const planner::Spread& spread) {
  ordered_json ranks = ordered_json::array();
  for (const planner::Rank& rank : spread.ranks)
    ranks.push_back({{"first_layer", rank.first_layer},
                     {"layers", rank.layers},
                     {"heads", rank.heads},
                     {"total_bytes", rank.memory.total_bytes()}});
  return {
      {"split_by", spread.tensor ? "heads" : "layers"}, {"fits", spread.fits}, {"ranks", ranks}};
}

std::string json_text_of(const planner::ModelFacts& model, const CapacityQuestion& asked,
                         const std::vector<Fit>& fits, const std::vector<planner::Spread>& spreads,
                         const std::string& refusal) {
  ordered_json json = {{"model", model.name},
                       {"parameters", model.parameters.total()},
                       {"gpu", asked.gpu.name},
                       {"gpu_bytes", asked.gpu.memory_bytes},
                       {"usable_bytes", fits.front().usable_bytes},
                       {"max_batch_tokens", asked.load.batch_tokens},
                       {"streams", asked.load.streams},
                       {"assumed", {"context_bytes", "workspace_bytes"}},
                       {"dtypes", ordered_json::array()},
                       {"spreads", ordered_json::array()}};
  for (const Fit& fit : fits) json["dtypes"].push_back(json_of_fit(fit));
  for (const planner::Spread& spread : spreads) json["spreads"].push_back(json_of_spread(spread));
  if (!refusal.empty()) json["refusal"] = refusal;
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<hub::ResolvedModel> find_for_planning(const std::string& source,
                                             const std::string& revision) {
  auto hub = hub::HubOptions::from_environment();
  hub.offline = true;
  hub.offline_because = "`sheaf models pull` fetches it";
  return fetch_model(source, revision, hub);
}

planner::Isolation isolation_of(const std::string& word) {
  if (word == "full") return planner::Isolation::full;
  return word == "memory" ? planner::Isolation::memory : planner::Isolation::none;
}

Result<planner::Load> load_in(std::string_view setting) {
  SHEAF_TRY(check_dtype(setting));
  if (setting == "auto") return planner::Load{};
  SHEAF_ASSIGN(model::ProductDtype dtype, model::parse_product_dtype(setting));
  planner::Load load;
  SHEAF_ASSIGN(load.dtype, planner::parse_dtype(dtype.name));
  load.fp8_layers = std::move(dtype.fp8_layers);
  return load;
}

Result<planner::Load> load_in(std::string_view setting, const planner::ModelFacts& model) {
  SHEAF_ASSIGN(planner::Load load, load_in(setting));
  const Status layers = model::check_fp8_layers(model.spec, load.fp8_layers);
  if (layers.ok()) return load;
  return Error{layers.error().code,
               fmt::format("model {}: {}", model.name, layers.error().message)};
}

Result<planner::ModelFacts> facts_of_folder(const std::string& name, const std::string& folder,
                                            const std::string& pooling) {
  SHEAF_ASSIGN(model::ModelSpec spec, model::read_spec(folder, pooling));
  SHEAF_ASSIGN(const model::ParameterCount parameters, model::count_parameters(folder, spec));
  return planner::ModelFacts{name, std::move(spec), parameters};
}

Result<planner::ModelFacts> facts_for_planning(const std::string& name, const std::string& source,
                                               const std::string& revision,
                                               const std::string& pooling) {
  SHEAF_ASSIGN(const hub::ResolvedModel found, find_for_planning(source, revision));
  return facts_of_folder(name.empty() ? found.name : name, found.folder, pooling);
}

Result<planner::Gpu> parse_gpu(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return planner::find_gpu(text);
  SHEAF_ASSIGN(const std::uint64_t memory_bytes, parse_byte_count(text));
  return planner::Gpu{std::string(text), memory_bytes, nullptr, nullptr};
}

Result<CapacityReport> report_capacity(const planner::ModelFacts& model,
                                       const CapacityQuestion& question, bool json) {
  SHEAF_ASSIGN(const std::vector<Fit> fits, fits_of(model, question));
  CapacityReport report;
  report.fits = std::ranges::any_of(fits, [](const Fit& fit) { return fit.replicas > 0; });
  // One that fits in half precision needs no second card.
  const planner::Load whole = refused_load(question, fits);
  const bool needs_more =
      planner::fit_of(model, whole, question.gpu, question.memory_utilization).replicas == 0;
  std::vector<planner::Spread> spreads;
  if (needs_more && question.gpu.profile == nullptr && fits.front().computable)
    spreads = planner::spreads_of(model, whole, question.gpu, question.memory_utilization);
  std::string refusal = needs_more ? refusal_of(model, question, fits) : "";
  if (const std::uint32_t most = planner::slices_of(question.gpu);
      refusal.empty() && question.gpu.profile != nullptr && question.instances > most) {
    refusal =
        fmt::format("one card has {} of {}, not {}", most, question.gpu.name, question.instances);
    report.fits = false;
  }
  if (!report.fits) report.refusal = refusal;
  report.text = json ? json_text_of(model, question, fits, spreads, refusal)
                     : text_of(model, question, fits, spreads);
  if (!json && report.fits && needs_more) report.text += "\n" + wrapped(refusal, 2);
  return report;
}

}  // namespace sheaf::cli
