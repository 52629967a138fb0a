#pragma once

#include <cstdint>

#include "base/clock.h"

namespace sheaf::core {

// How fast one replica runs, learnt from its batches: tokens over compute time, both summed with
// exponential forgetting over the last seconds of computing. Sums rather than a mean of quotients,
// so that a short batch, which is mostly overhead, weighs as little as it lasts.
class Rate {
 public:
  explicit Rate(double initial_tokens_per_s) : tokens_per_s_(initial_tokens_per_s) {}

  void learn(std::uint32_t tokens, TimeUs compute_us);  // times that make no sense are ignored

  double tokens_per_s() const { return tokens_per_s_; }  // > 0
  bool learnt() const { return time_us_ > 0; }
  TimeUs time_for(std::uint64_t tokens) const {
    return static_cast<TimeUs>(static_cast<double>(tokens) * 1e6 / tokens_per_s_);
  }
  std::uint64_t tokens_in(TimeUs time_us) const {
    return static_cast<std::uint64_t>(static_cast<double>(time_us) * tokens_per_s_ / 1e6);
  }

 private:
  double tokens_ = 0;
  double time_us_ = 0;
  double tokens_per_s_;
};

}  // namespace sheaf::core
