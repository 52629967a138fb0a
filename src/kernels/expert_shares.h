#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace sheaf::kernels {

struct ExpertShare {
  std::size_t expert = 0;
  float share = 0;
};

// The `chosen` largest shares of softmax(logits), by expert. What all backends on this processor
// choose alike, so that a near tie does not fall differently.
std::vector<ExpertShare> largest_shares(std::span<const float> logits, std::size_t chosen);

}  // namespace sheaf::kernels
