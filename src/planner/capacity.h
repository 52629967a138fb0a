#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/gpu.h"
#include "planner/memory.h"

// Whether and how often a model fits a card or slice.
namespace sheaf::planner {

// MPS serves so many processes of a card (CUDA 13.0; NVIDIA's guide to MPS), on a slice its share.
constexpr std::uint32_t kMpsClientsMax = 48;

struct Fit {
  Load load;
  Memory memory;
  std::uint64_t usable_bytes = 0;
  std::uint32_t replicas = 0;  // that fit at once; 0: it does not fit
  bool computable = true;      // false: the card has no instructions for it
};

// `memory_utilization` is the share of the GPU's memory that may be used.
Fit fit_of(const ModelFacts& model, const Load& load, const Gpu& gpu, double memory_utilization);

// How many of this slice one card has; 1 of what is no slice.
std::uint32_t slices_of(const Gpu& gpu);

// Why `instances` replicas, each on such a GPU of its own, cannot start, and the nearest things
// that help: a smaller dtype, the smallest larger slice of the card, fewer and larger slices,
// several cards. For a model that does not fit.
std::string refusal(const ModelFacts& model, const Load& load, const Gpu& gpu,
                    double memory_utilization, std::uint32_t instances = 1);

// A way to spread one replica over several whole cards.
struct Spread {
  bool tensor = false;  // else by layers
  std::vector<Rank> ranks;
  bool fits = false;  // every rank on a card of its own
};
// Over 2, 4 and 8 cards by heads and over 2, 3, 4 and 8 by layers, as far as the model can be
// split so.
std::vector<Spread> spreads_of(const ModelFacts& model, const Load& load, const Gpu& gpu,
                               double memory_utilization);

}  // namespace sheaf::planner
