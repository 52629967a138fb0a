#include "core/rate.h"

namespace sheaf::core {
namespace {
constexpr double kMemoryUs = 1e6;  // of computing: ten batches of the default target
}

void Rate::learn(std::uint32_t tokens, TimeUs compute_us) {
  if (tokens == 0 || compute_us <= 0) return;
  const double time_us = static_cast<double>(compute_us);
  const double keep = kMemoryUs / (kMemoryUs + time_us);
  tokens_ = tokens_ * keep + tokens;
  time_us_ = time_us_ * keep + time_us;
  tokens_per_s_ = tokens_ * 1e6 / time_us_;
}

}  // namespace sheaf::core
