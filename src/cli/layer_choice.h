#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"

// In which layers' feed-forward parts a model is computed in fp8, where it is not accurate enough
// with all of them: as many as keep the bounds of `auto`, found by what each costs alone.
namespace sheaf::cli {

using Layers = std::vector<std::uint32_t>;  // ascending numbers

// How far each sample text's answer is from float32's: 1 - cosine.
using TextErrors = std::vector<double>;
bool keeps_bounds(const TextErrors& errors);  // those of Precision::is_accurate()

// Computes the sample texts with fp8 in these layers and bfloat16 in all others. An error where
// that fails or no time is left.
using MeasureLayers = std::function<Result<TextErrors>(const Layers& layers)>;

// All layers in runs of neighbours that are measured together: each alone up to kRunsMost layers,
// else at most so many runs, of equal length but for the last.
constexpr std::uint32_t kRunsMost = 12;
std::vector<Layers> layer_runs(std::uint32_t layers);

// What computing a run of layers in fp8 adds to the errors that there are in bfloat16.
struct RunCost {
  Layers layers;
  TextErrors added;
};

// The runs, kRunsMost at most, that are likely to keep the bounds together, the cheapest a layer
// first: errors of layers are independent, so that they add up. As many layers as can be, and of
// such choices the one that takes the least of the bounds; some room is left for what does not add
// up.
std::vector<RunCost> affordable(const std::vector<RunCost>& runs, const TextErrors& in_bfloat16);

// The choice: measures runs `alone`, of which those are lost that fail, then all that are
// affordable `together`, without the dearest until they keep the bounds. Nothing where none does,
// or that cannot be seen; where bfloat16 leaves no room nothing is measured. All errors are of the
// same texts.
std::optional<Layers> choose_layers(std::uint32_t layers, const TextErrors& in_bfloat16,
                                    const MeasureLayers& alone, const MeasureLayers& together);

}  // namespace sheaf::cli
