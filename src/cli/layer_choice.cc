#include "cli/layer_choice.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "cli/precision.h"

namespace sheaf::cli {
namespace {

constexpr double kOfBounds = 0.9;  // that predicted errors may take

double mean_of(const TextErrors& errors) {
  return std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size());
}

// The share of the bounds that errors take, 1 being all; no number where one of them is none.
double share_of_bounds(const TextErrors& errors) {
  if (errors.empty()) return std::numeric_limits<double>::quiet_NaN();
  return std::max(mean_of(errors) / (1 - kLeastMeanCosine),
                  *std::ranges::max_element(errors) / (1 - kLeastCosine));
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

bool keeps_bounds(const TextErrors& errors) { return share_of_bounds(errors) <= 1; }

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

// There are few enough runs to look at every choice of them.
std::vector<RunCost> affordable(const std::vector<RunCost>& runs, const TextErrors& in_bfloat16) {
  std::uint32_t best = 0;
  std::size_t most_layers = 0;
  double least_share = 0;
  for (std::uint32_t choice = 1; choice < 1u << runs.size(); ++choice) {
    TextErrors together = in_bfloat16;
    std::size_t layers = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if ((choice >> i & 1) == 0) continue;
      layers += runs[i].layers.size();
      std::ranges::transform(together, runs[i].added, together.begin(), std::plus());
    }
    const double share = share_of_bounds(together);
    const bool better = layers > most_layers || (layers == most_layers && share < least_share);
    if (!(share <= kOfBounds) || !better) continue;
    best = choice;
    most_layers = layers;
    least_share = share;
  }
  std::vector<RunCost> chosen;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if ((best >> i & 1) != 0) chosen.push_back(runs[i]);
  std::ranges::stable_sort(chosen, {}, [](const RunCost& run) {
    return mean_of(run.added) / static_cast<double>(run.layers.size());
  });
  return chosen;
}

std::optional<Layers> choose_layers(std::uint32_t layers, const TextErrors& in_bfloat16,
                                    const MeasureLayers& alone, const MeasureLayers& together) {
  if (!(share_of_bounds(in_bfloat16) <= kOfBounds)) return std::nullopt;
  std::vector<RunCost> costs;
  for (Layers& run : layer_runs(layers)) {
    auto errors = alone(run);
    if (!errors.ok() || !std::isfinite(mean_of(*errors))) continue;
    costs.push_back({std::move(run), beyond(*std::move(errors), in_bfloat16)});
  }
  for (auto chosen = affordable(costs, in_bfloat16); !chosen.empty(); chosen.pop_back()) {
    Layers layers_chosen = layers_of(chosen);
    const auto errors = together(layers_chosen);
    if (!errors.ok()) return std::nullopt;
    if (keeps_bounds(*errors)) return layers_chosen;
  }
  return std::nullopt;
}

}  // namespace sheaf::cli
