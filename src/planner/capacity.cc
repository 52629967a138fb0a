#include "planner/capacity.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace sheaf::planner {
namespace {

constexpr std::uint32_t kBatchTokensMin = 2048;  // of remedies: smaller ones leave a card idle

std::uint64_t share_of(std::uint64_t memory_bytes, double memory_utilization) {
  return static_cast<std::uint64_t>(static_cast<double>(memory_bytes) * memory_utilization);
}

std::uint32_t clients_of(const Gpu& gpu) {
  if (gpu.profile == nullptr) return kMpsClientsMax;
  return kMpsClientsMax * static_cast<std::uint32_t>(gpu.profile->compute_slices) /
         static_cast<std::uint32_t>(gpu.card->compute_slices);
}

// The smallest slice of the card that holds the load and is larger than `than`, or the card itself;
// nothing if none does. Of two as large the one of which a card has `instances`, else the later
// one, which has more multiprocessors.
std::optional<Gpu> smallest_larger(const Gpu& than, const ModelFacts& model, const Load& load,
                                   double memory_utilization, std::uint32_t instances) {
  const slices::CardModel& card = *than.card;
  std::optional<Gpu> best;
  const auto consider = [&](const Gpu& gpu) {
    if (gpu.memory_bytes <= than.memory_bytes) return;
    if (fit_of(model, load, gpu, memory_utilization).replicas == 0) return;
    const bool as_large = best && gpu.memory_bytes == best->memory_bytes;
    const bool too_few = as_large && slices_of(gpu) < instances && slices_of(*best) >= instances;
    if (!best || gpu.memory_bytes < best->memory_bytes || (as_large && !too_few)) best = gpu;
  };
  for (const slices::MigProfile& profile : card.profiles)
    if (profile.name.find('+') == std::string_view::npos)
      consider({std::string(profile.name), profile.memory_bytes(), &card, &profile});
  consider({fmt::format("a whole {}", card.key), card.memory_bytes(), &card, nullptr});
  return best;
}

// Half precision of float32, int8 of that; of fp8 in some layers fp8 in all, and int8.
std::vector<Load> in_smaller_dtypes(const Load& load) {
  const auto in = [&load](Dtype dtype) {
    Load other = load;
    other.dtype = dtype;
    other.fp8_layers = {};
    return other;
  };
  if (load.dtype == Dtype::float32) return {in(Dtype::bfloat16)};
  if (load.dtype == Dtype::bfloat16) return {in(Dtype::int8)};
  if (load.fp8_layers) return {in(Dtype::fp8), in(Dtype::int8)};
  return {};
}

// The smallest larger slice, if need be with a smaller batch.
std::string larger_slice(const ModelFacts& model, const Load& load, const Gpu& gpu,
                         double memory_utilization, std::uint32_t instances) {
  if (gpu.profile == nullptr) return "";
  std::optional<Gpu> slice;
  Load smaller = load;
  const std::uint32_t least = std::min(load.batch_tokens, kBatchTokensMin);
  for (Load tried = load; tried.batch_tokens >= least; tried.batch_tokens /= 2) {
    const auto found = smallest_larger(gpu, model, tried, memory_utilization, instances);
    if (!found || (slice && found->memory_bytes >= slice->memory_bytes)) continue;
    slice = found;
    smaller = tried;
  }
  if (!slice) return "";
  std::string text =
      fmt::format("{} ({}) for {}", slice->name, gib_text(slice->memory_bytes), dtype_text(load));
  if (smaller.batch_tokens < load.batch_tokens)
    text += fmt::format(" with --max-batch-tokens {}", smaller.batch_tokens);
  if (instances < 2) return text;
  const std::uint32_t most = slices_of(*slice);
  return text + (most >= instances ? fmt::format(", {} of which one card has", instances)
                                   : fmt::format("; fewer instances: one card has {} of it, not {}",
                                                 most, instances));
}

std::string several_cards(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  if (gpu.profile != nullptr) return "";  // ranks on slices cannot reach each other's memory
  for (const Spread& spread : spreads_of(model, load, gpu, memory_utilization))
    if (spread.fits)
      return fmt::format("{} such cards, split by {}{}", spread.ranks.size(),
                         spread.tensor ? "heads" : "layers",
                         load.streams > 1 ? ", with --streams 1" : "");
  return "";
}

// Memory that a batch takes can be had by a smaller one where weights alone would fit.
std::string smaller_batch(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  Load smaller = load;
  while (smaller.batch_tokens >= 2 * kBatchTokensMin) {
    smaller.batch_tokens /= 2;
    if (fit_of(model, smaller, gpu, memory_utilization).replicas > 0)
      return fmt::format("--max-batch-tokens {}", smaller.batch_tokens);
  }
  return "";
}

// As many as there is room for, where that is fewer.
std::string fewer_streams(const ModelFacts& model, const Load& load, const Gpu& gpu,
                          double memory_utilization) {
  for (Load fewer = load; fewer.streams > 1;) {
    --fewer.streams;
    if (fit_of(model, fewer, gpu, memory_utilization).replicas > 0)
      return fmt::format("--streams {}", fewer.streams);
  }
  return "";
}

}  // namespace

std::uint32_t slices_of(const Gpu& gpu) {
  return gpu.profile == nullptr ? 1 : static_cast<std::uint32_t>(gpu.profile->count_max);
}

Fit fit_of(const ModelFacts& model, const Load& load, const Gpu& gpu, double memory_utilization) {
  Fit fit;
  fit.load = load;
  fit.memory = memory_of(model, load);
  fit.usable_bytes = share_of(gpu.memory_bytes, memory_utilization);
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
      model.name, dtype_text(load), gpu.name, gib_text(fit.memory.weights_bytes),
      gib_text(gpu.memory_bytes), gib_text(fit.memory.total_bytes()),
      gib_text(fit.memory.replica_bytes()), gib_text(fit.usable_bytes), 100 * memory_utilization);
  std::vector<std::string> remedies = {
      larger_slice(model, load, gpu, memory_utilization, instances),
      several_cards(model, load, gpu, memory_utilization),
      smaller_batch(model, load, gpu, memory_utilization),
      fewer_streams(model, load, gpu, memory_utilization)};
  std::string vain;  // what comes to mind first and does not help
  std::vector<std::string> smaller;
  for (const Load& other : in_smaller_dtypes(load)) {
    const Fit there = fit_of(model, other, gpu, memory_utilization);
    const std::uint64_t bytes = there.memory.total_bytes();
    if (bytes >= fit.memory.total_bytes()) continue;
    const std::string what =
        fmt::format("{}{} ({})", dtype_text(other),
                    other.dtype == Dtype::fp8 ? " in all layers" : "", gib_text(bytes));
    if (there.replicas > 0) smaller.push_back(what);
    vain = there.replicas > 0 ? "" : fmt::format("; {} does not fit either", what);
  }
  remedies.insert(remedies.begin(), smaller.begin(), smaller.end());
  std::erase(remedies, "");
  if (remedies.empty()) return text + vain + "; a larger card is needed";
  return fmt::format("{}; what helps: {}{}", text, fmt::join(remedies, "; "), vain);
}

std::vector<Spread> spreads_of(const ModelFacts& model, const Load& load, const Gpu& gpu,
                               double memory_utilization) {
  const std::uint64_t usable = share_of(gpu.memory_bytes, memory_utilization);
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
