#include "model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sheaf::model {
namespace {

// Peng et al., "YaRN" (2023): how much of pair `index` is scaled, by a ramp from the pair that
// turns high_turns times within trained_positions to the one that turns low_turns times. Where
// these lie outside the head, transformers' ramp is taken as it comes out, even if it falls.
double share_scaled(const RotarySpec& spec, double index, std::size_t pairs) {
  const auto count = static_cast<double>(pairs);
  const auto pair_that_turns = [&](double times) {
    const double radians = times * 2 * std::numbers::pi;
    return count * std::log(spec.trained_positions / radians) / std::log(spec.theta);
  };
  double from = pair_that_turns(spec.high_turns);
  double to = pair_that_turns(spec.low_turns);
  if (spec.whole_pairs) {
    from = std::floor(from);
    to = std::ceil(to);
  }
  from = std::max(from, 0.0);
  to = std::min(to, 2 * count - 1);
  const double width = to == from ? 0.001 : to - from;
  return std::clamp((index - from) / width, 0.0, 1.0);
}

// Radians that pair `index` of `pairs` turns from a token to the next.
double speed_of(const RotarySpec& spec, std::size_t index, std::size_t pairs) {
  const double share = static_cast<double>(index) / static_cast<double>(pairs);
  const double speed = std::pow(spec.theta, -share);
  switch (spec.scaling) {
    case RotaryScaling::none:
    case RotaryScaling::dynamic:
      return speed;
    case RotaryScaling::linear:
      return speed / spec.factor;
    case RotaryScaling::llama3: {
      const double turns = spec.trained_positions * speed / (2 * std::numbers::pi);
      const double kept =
          std::clamp((turns - spec.low_turns) / (spec.high_turns - spec.low_turns), 0.0, 1.0);
      return speed * (kept + (1 - kept) / spec.factor);
    }
    case RotaryScaling::longrope:
      return speed / spec.short_factors[index];
    case RotaryScaling::yarn: {
      const double scaled = share_scaled(spec, static_cast<double>(index), pairs);
      return speed * (1 - scaled + scaled / spec.factor);
    }
    case RotaryScaling::ntk:
      // Su, "Transformer upgrades 16" (2023): theta times the factor, and all pairs more slowly so
      // that the slowest turns by the factor more slowly than it did.
      return speed * std::pow(spec.factor, -share - 1 / static_cast<double>(pairs));
  }
  return speed;
}

// "Dynamic NTK" (emozilla, 2023): theta grows with the text so that the slowest pair turns as far
// as if the text had been squeezed.
double stretched_theta(const RotarySpec& spec, std::size_t length, std::size_t pairs) {
  const double stretch =
      spec.factor * static_cast<double>(length) / spec.trained_positions - (spec.factor - 1);
  const auto n = static_cast<double>(pairs);
  return spec.theta * std::pow(stretch, n / (n - 1));
}

std::vector<double> speeds_of(const RotarySpec& spec, std::size_t pairs) {
  std::vector<double> speeds;
  for (std::size_t i = 0; i < pairs; ++i) speeds.push_back(speed_of(spec, i, pairs));
  return speeds;
}

// Ding et al., "LongRoPE" (2024): in long texts each pair is scaled by a factor of its own.
RotarySpec of_long_texts(RotarySpec spec) {
  spec.short_factors = spec.long_factors;
  return spec;
}

}  // namespace

RotaryTable::RotaryTable(const RotarySpec& spec, std::uint32_t head_size)
    : spec_(spec),
      pairs_(spec.pairs(head_size)),
      usual_(speeds_of(spec, pairs_), spec.amplitude),
      stretched_(speeds_of(of_long_texts(spec), pairs_), spec.amplitude) {}

void RotaryTable::turn(kernels::Backend& ops, tensor::TypedSpan x,
                       std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                       const kernels::HeadNorms& norms) {
  std::size_t first = 0;  // of the texts before this one that are not turned yet
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text) {
    const std::size_t length = cu_seqlens[text + 1] - cu_seqlens[text];
    if (!spec_.turns_alone(length)) continue;
    turn_usual(ops, x, cu_seqlens.subspan(first, text - first + 1), heads, norms);
    ops.turn_heads(x, cu_seqlens.subspan(text, 2), heads, norms, stretched(length, ops.memory()));
    first = text + 1;
  }
  turn_usual(ops, x, cu_seqlens.subspan(first), heads, norms);
}

void RotaryTable::turn_usual(kernels::Backend& ops, tensor::TypedSpan x,
                             std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                             const kernels::HeadNorms& norms) {
  std::size_t longest = 0;
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    longest = std::max<std::size_t>(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
  if (longest > 0) ops.turn_heads(x, cu_seqlens, heads, norms, usual_.up_to(longest, ops.memory()));
}

kernels::Rotary RotaryTable::stretched(std::size_t length, tensor::Memory& memory) {
  if (spec_.scaling == RotaryScaling::dynamic && length != stretched_length_) {
    RotarySpec spec = spec_;
    spec.theta = stretched_theta(spec_, length, pairs_);
    stretched_ = Angles(speeds_of(spec, pairs_), spec.amplitude);
    stretched_length_ = length;
  }
  return stretched_.up_to(length, memory);
}

RotaryTable::Angles::Angles(const std::vector<double>& speeds, double amplitude)
    : next_(speeds.size(), amplitude) {
  for (const double speed : speeds) turns_.push_back(std::polar(1.0, speed));
}

// One product a step rather than a cosine and a sine, which would hold up a first long text for a
// noticeable time; after a million steps the products in double are still exact to 2e-10.
kernels::Rotary RotaryTable::Angles::up_to(std::size_t positions, tensor::Memory& memory) {
  for (; positions_ < positions; ++positions_)
    for (std::size_t i = 0; i < turns_.size(); ++i) {
      cosines_.push_back(static_cast<float>(next_[i].real()));
      sines_.push_back(static_cast<float>(next_[i].imag()));
      next_[i] *= turns_[i];
    }
  if (memory.is_host()) return {cosines_.data(), sines_.data(), turns_.size()};
  if (held_ < positions_) {
    cosines_held_.hold(std::span<const float>(cosines_), memory);
    sines_held_.hold(std::span<const float>(sines_), memory);
    held_ = positions_;
  }
  return {cosines_held_.reserve(0), sines_held_.reserve(0), turns_.size()};
}

}  // namespace sheaf::model
