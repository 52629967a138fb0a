#include "cli/layer_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/precision.h"

namespace sheaf::cli {
namespace {

constexpr double kOfBounds = 0.9;  // that predicted errors may take

double mean_of(const TextErrors& errors) {
  return std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size());
}

// What is no number stays none, and is within nothing.
bool are_within(const TextErrors& errors, double share) {
  const auto is_small = [share](double error) { return error <= share * (1 - kLeastCosine); };
  return !errors.empty() && std::ranges::all_of(errors, is_small) &&
         mean_of(errors) <= share * (1 - kLeastMeanCosine);
}

TextErrors sum_of(TextErrors a, const TextErrors& b) {
  std::ranges::transform(a, b, a.begin(), std::plus());
  return a;
}

// A layer may happen to undo what rounding did in the rest; that is no credit for others.
TextErrors beyond(TextErrors errors, const TextErrors& rest) {
  std::ranges::transform(errors, rest, errors.begin(), [](double error, double other) {
    return error < other ? 0 : error - other;
  });
  return errors;
}

Layers layers_of(const std::vector<RunCost>& runs) {
  Layers layers;
  for (const RunCost& run : runs) layers.insert(layers.end(), run.layers.begin(), run.layers.end());
  std::ranges::sort(layers);
  return layers;
}

}  // namespace

bool keeps_bounds(const TextErrors& errors) { return are_within(errors, 1); }

std::vector<Layers> layer_runs(std::uint32_t layers) {
  const std::uint32_t length = (layers + kRunsMost - 1) / kRunsMost;
  std::vector<Layers> runs;
  for (std::uint32_t first = 0; first < layers; first += length) {
    Layers run(std::min(length, layers - first));
    std::iota(run.begin(), run.end(), first);
    runs.push_back(std::move(run));
  }
  return runs;
}

std::vector<RunCost> affordable(std::vector<RunCost> runs, const TextErrors& in_bfloat16) {
  std::ranges::stable_sort(runs, {}, [](const RunCost& run) {
    return mean_of(run.added) / static_cast<double>(run.layers.size());
  });
  TextErrors sum = in_bfloat16;
  std::vector<RunCost> taken;
  for (RunCost& run : runs) {
    TextErrors with_it = sum_of(sum, run.added);
    if (!are_within(with_it, kOfBounds)) continue;
    sum = std::move(with_it);
    taken.push_back(std::move(run));
  }
  return taken;
}

std::optional<Layers> choose_layers(std::uint32_t layers, const TextErrors& in_bfloat16,
                                    const MeasureLayers& alone, const MeasureLayers& together) {
  std::vector<RunCost> costs;
  for (Layers& run : layer_runs(layers)) {
    auto errors = alone(run);
    if (!errors.ok() || !std::isfinite(mean_of(*errors))) continue;
    costs.push_back({std::move(run), beyond(*std::move(errors), in_bfloat16)});
  }
  for (auto chosen = affordable(std::move(costs), in_bfloat16); !chosen.empty();
       chosen.pop_back()) {
    Layers layers_chosen = layers_of(chosen);
    const auto errors = together(layers_chosen);
    if (!errors.ok()) return std::nullopt;
    if (keeps_bounds(*errors)) return layers_chosen;
  }
  return std::nullopt;
}

}  // namespace sheaf::cli
