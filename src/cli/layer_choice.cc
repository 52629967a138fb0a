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

Layers layers_in(const std::vector<RunCost>& runs) {
  Layers layers;
  for (const RunCost& run : runs) layers.insert(layers.end(), run.layers.begin(), run.layers.end());
  std::ranges::sort(layers);
  return layers;
}

// A choice of runs: bit i is the i-th.
bool takes(std::uint32_t choice, std::size_t run) { return (choice >> run & 1) != 0; }

struct Prediction {
  std::size_t layers = 0;
  double share = 0;  // of the bounds

  bool is_better_than(const Prediction& other) const {
    return layers > other.layers || (layers == other.layers && share < other.share);
  }
};

Prediction predict(const std::vector<RunCost>& runs, std::uint32_t choice, TextErrors errors) {
  Prediction prediction;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!takes(choice, i)) continue;
    prediction.layers += runs[i].layers.size();
    std::ranges::transform(errors, runs[i].added, errors.begin(), std::plus());
  }
  prediction.share = share_of_bounds(errors);
  return prediction;
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
  Prediction of_best;
  for (std::uint32_t choice = 1; choice < 1u << runs.size(); ++choice) {
    const Prediction of_choice = predict(runs, choice, in_bfloat16);
    if (!(of_choice.share <= kOfBounds) || !of_choice.is_better_than(of_best)) continue;
    best = choice;
    of_best = of_choice;
  }
  std::vector<RunCost> chosen;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (takes(best, i)) chosen.push_back(runs[i]);
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
    Layers layers_chosen = layers_in(chosen);
    const auto errors = together(layers_chosen);
    if (!errors.ok()) return std::nullopt;
    if (keeps_bounds(*errors)) return layers_chosen;
  }
  return std::nullopt;
}

}  // namespace sheaf::cli
