#include "kernels/expert_shares.h"

#include <algorithm>
#include <cmath>

namespace sheaf::kernels {

std::vector<ExpertShare> largest_shares(std::span<const float> logits, std::size_t chosen) {
  const float largest = *std::ranges::max_element(logits);
  std::vector<ExpertShare> shares;
  float sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    shares.push_back({i, std::exp(logits[i] - largest)});
    sum += shares.back().share;
  }
  std::ranges::stable_sort(shares, std::ranges::greater(), &ExpertShare::share);
  shares.resize(chosen);
  std::ranges::sort(shares, {}, &ExpertShare::expert);
  for (ExpertShare& share : shares) share.share /= sum;
  return shares;
}

}  // namespace sheaf::kernels
