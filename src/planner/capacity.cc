#include "planner/capacity.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace sheaf::planner {
namespace {

std::uint64_t usable_of(std::uint64_t memory_bytes, double memory_utilization) {
  return static_cast<std::uint64_t>(static_cast<double>(memory_bytes) * memory_utilization);
}

std::uint32_t clients_of(const Gpu& gpu) {
  if (gpu.profile == nullptr) return kMpsClientsMax;
  return kMpsClientsMax * static_cast<std::uint32_t>(gpu.profile->compute_slices) /
         static_cast<std::uint32_t>(gpu.card->compute_slices);
}

std::string bytes(std::uint64_t count) { return human_bytes(static_cast<double>(count)); }
// As weights are spoken of: "8.04 GB".
std::string decimal_gb(std::uint64_t count) {
  return fmt::format("{:.2f} GB", static_cast<double>(count) / 1e9);
}

// The smallest slice of the card that holds the load, or the card itself; nothing if none does.
std::optional<Gpu> smallest_that_fits(const ModelFacts& model, const Load& load,
                                      const slices::CardModel& card, double memory_utilization) {
  std::optional<Gpu> best;
  const auto consider = [&](const Gpu& gpu) {
    if (fit_of(model, load, gpu, memory_utilization).replicas == 0) return;
    if (!best || gpu.memory_bytes < best->memory_bytes) best = gpu;
  };
  for (const slices::MigProfile& profile : card.profiles)
    if (profile.name.find('+') == std::string_view::npos)
      consider({std::string(profile.name), profile.memory_bytes(), &card, &profile});
  consider({fmt::format("a whole {}", card.key), card.memory_bytes(), &card, nullptr});
  return best;
}

// "int8 (4.6 GiB)" where it fits, else the dtype and the slice of the card that it would fit.
std::string smaller_dtype(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  Load smaller = load;
  smaller.dtype = load.dtype == Dtype::float32 ? Dtype::bfloat16 : Dtype::int8;
  if (load.dtype >= Dtype::int8) return "";
  const Fit fit = fit_of(model, smaller, gpu, memory_utilization);
  const std::string what =
      fmt::format("{} ({})", name_of(smaller.dtype), bytes(fit.memory.total_bytes()));
  if (fit.replicas > 0) return what;
  if (gpu.card == nullptr) return "";
  const auto slice = smallest_that_fits(model, smaller, *gpu.card, memory_utilization);
  return slice ? fmt::format("{} on {}", what, slice->name) : "";
}

std::string larger_slice(const ModelFacts& model, const Load& load, const Gpu& gpu,
                         double memory_utilization, std::uint32_t instances) {
  if (gpu.profile == nullptr) return "";
  const auto slice = smallest_that_fits(model, load, *gpu.card, memory_utilization);
  if (!slice) return "";
  std::string text =
      fmt::format("{} ({}) for {}", slice->name, bytes(slice->memory_bytes), name_of(load.dtype));
  if (instances < 2) return text;
  const int most = slice->profile == nullptr ? 1 : slice->profile->count_max;
  const std::uint32_t fewer = std::min(instances - 1, static_cast<std::uint32_t>(most));
  return text + fmt::format("; fewer instances: {} of it in place of {} {}", fewer, instances,
                            gpu.profile->name);
}

std::string several_cards(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  if (gpu.profile != nullptr) return "";  // ranks on slices cannot reach each other's memory
  for (const Spread& spread : spreads_of(model, load, gpu, memory_utilization))
    if (spread.fits)
      return fmt::format("{} such cards, split by {}", spread.ranks.size(),
                         spread.tensor ? "heads" : "layers");
  return "";
}

// Memory that a batch takes can be had by a smaller one where weights alone would fit.
std::string smaller_batch(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  Load smaller = load;
  while (smaller.batch_tokens > 512) {
    smaller.batch_tokens /= 2;
    if (fit_of(model, smaller, gpu, memory_utilization).replicas > 0)
      return fmt::format("--max-batch-tokens {}", smaller.batch_tokens);
  }
  return "";
}

}  // namespace

Fit fit_of(const ModelFacts& model, const Load& load, const Gpu& gpu, double memory_utilization) {
  Fit fit;
  fit.dtype = load.dtype;
  fit.memory = memory_of(model, load);
  fit.usable_bytes = usable_of(gpu.memory_bytes, memory_utilization);
  fit.computable = load.dtype != Dtype::fp8 || !gpu.lacks_fp8();
  if (!fit.computable || fit.memory.total_bytes() > fit.usable_bytes) return fit;
  const std::uint64_t room = fit.usable_bytes - fit.memory.weights_bytes;
  fit.replicas = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(room / fit.memory.replica_bytes(), clients_of(gpu)));
  return fit;
}

std::string refusal(const ModelFacts& model, const Load& load, const Gpu& gpu,
                    double memory_utilization, std::uint32_t instances) {
  const Fit fit = fit_of(model, load, gpu, memory_utilization);
  std::string text = fmt::format(
      "{} in {} does not fit {}: {} of weights against {}; it needs {} with a replica's working "
      "set "
      "({}), and {} may be used ({:.0f} %)",
      model.name, name_of(load.dtype), gpu.name, decimal_gb(fit.memory.weights_bytes),
      bytes(gpu.memory_bytes), bytes(fit.memory.total_bytes()), bytes(fit.memory.replica_bytes()),
      bytes(fit.usable_bytes), 100 * memory_utilization);
  std::string remedies;
  for (const std::string& remedy : {smaller_dtype(model, load, gpu, memory_utilization),
                                    smaller_batch(model, load, gpu, memory_utilization),
                                    larger_slice(model, load, gpu, memory_utilization, instances),
                                    several_cards(model, load, gpu, memory_utilization)})
    if (!remedy.empty()) remedies += fmt::format("{}{}", remedies.empty() ? "" : "; ", remedy);
  return text + (remedies.empty() ? "; a larger card is needed" : "; what helps: " + remedies);
}

std::vector<Spread> spreads_of(const ModelFacts& model, const Load& load, const Gpu& gpu,
                               double memory_utilization) {
  const std::uint64_t usable = usable_of(gpu.memory_bytes, memory_utilization);
  std::vector<Spread> spreads;
  const auto add = [&](bool tensor, std::vector<Rank> ranks) {
    if (ranks.empty()) return;
    const bool fits = std::ranges::all_of(
        ranks, [&](const Rank& rank) { return rank.memory.total_bytes() <= usable; });
    spreads.push_back({tensor, std::move(ranks), fits});
  };
  for (const std::uint32_t ranks : {2u, 4u, 8u}) add(true, tensor_parallel(model, load, ranks));
  for (const std::uint32_t ranks : {2u, 3u, 4u, 8u}) add(false, pipeline(model, load, ranks));
  return spreads;
}

}  // namespace sheaf::planner
