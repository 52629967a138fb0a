#include "kernels/expert_shares.h"

#include <algorithm>
#include <cmath>

namespace sheaf::kernels {

void largest_shares(std::span<const float> logits, std::span<ExpertShare> chosen) {
  const float largest = *std::ranges::max_element(logits);
  float sum = 0;
  std::size_t held = 0;
  for (std::size_t expert = 0; expert < logits.size(); ++expert) {
    const float share = std::exp(logits[expert] - largest);
    sum += share;
    if (held == chosen.size() && chosen[held - 1].share >= share) continue;
    std::size_t at = held < chosen.size() ? held++ : held - 1;
    for (; at > 0 && chosen[at - 1].share < share; --at) chosen[at] = chosen[at - 1];
    chosen[at] = {expert, share};
  }
  std::ranges::sort(chosen, {}, &ExpertShare::expert);
  for (ExpertShare& share : chosen) share.share /= sum;
}

}  // namespace sheaf::kernels
