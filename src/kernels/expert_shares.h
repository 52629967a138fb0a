#pragma once

#include <cstddef>
#include <span>

namespace sheaf::kernels {

struct ExpertShare {
  std::size_t expert = 0;
  float share = 0;
};

// Fills `chosen` with the largest shares of softmax(logits), by expert; of equal ones with the
// first. What all backends on this processor choose alike, so that a near tie does not fall
// differently. At most as many as there are logits.
void largest_shares(std::span<const float> logits, std::span<ExpertShare> chosen);

}  // namespace sheaf::kernels
