#include "model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sheaf::model {
namespace {

// Radians that pair `index` of `pairs` turns from a token to the next.
double speed_of(const RotarySpec& spec, std::size_t index, std::size_t pairs) {
  const double speed =
      std::pow(spec.theta, -static_cast<double>(index) / static_cast<double>(pairs));
  if (spec.scaling == RotaryScaling::none) return speed;
  double kept = 0;
  if (spec.scaling == RotaryScaling::llama3) {
    const double turns = spec.trained_positions * speed / (2 * std::numbers::pi);
    kept = std::clamp((turns - spec.low_turns) / (spec.high_turns - spec.low_turns), 0.0, 1.0);
  }
  return speed * (kept + (1 - kept) / spec.factor);
}

}  // namespace

RotaryTable::RotaryTable(const RotarySpec& spec, std::size_t pairs) : next_(pairs, 1.0) {
  for (std::size_t i = 0; i < pairs; ++i)
    turns_.push_back(std::polar(1.0, speed_of(spec, i, pairs)));
}

kernels::Rotary RotaryTable::for_texts(std::span<const std::uint32_t> cu_seqlens) {
  std::size_t longest = 0;
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    longest = std::max<std::size_t>(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
  grow_to(longest);
  return {cosines_.data(), sines_.data(), turns_.size()};
}

// One product a step rather than a cosine and a sine, which would hold up a first long text for a
// noticeable time; after a million steps the products in double are still exact to 2e-10.
void RotaryTable::grow_to(std::size_t positions) {
  for (; positions_ < positions; ++positions_)
    for (std::size_t i = 0; i < turns_.size(); ++i) {
      cosines_.push_back(static_cast<float>(next_[i].real()));
      sines_.push_back(static_cast<float>(next_[i].imag()));
      next_[i] *= turns_[i];
    }
}

}  // namespace sheaf::model
