#pragma once

#include "kernels/cpu/linear.h"

// By what inputs of an int8 product are multiplied before they are rounded, and their weights
// divided, which changes no product but what rounding does to it: a block's largest number sets the
// steps of all. After Xiao et al., "SmoothQuant" (2023), who measure over texts how large inputs
// are; here the norm before says it, and it is the outputs that take least of an input that count.
// Such a head, or part of a stack, only suffers from how coarsely a large input makes its
// neighbours rounded.
namespace sheaf::kernels::cpu {

constexpr std::size_t kInt8Block = 128;  // inputs that share a scale

// Weights [outputs, inputs] and how large each input usually is.
struct Unbalanced {
  const float* weight;
  std::size_t stride;
  std::size_t inputs;
  std::size_t outputs;
  const float* input_sizes;

  SHEAF_INLINE std::size_t blocks() const { return (inputs + kInt8Block - 1) / kInt8Block; }
  SHEAF_INLINE std::size_t count_of(std::size_t block) const {
    return smaller(kInt8Block, inputs - block * kInt8Block);
  }
  // Groups of some 32 outputs, as many as a small head has.
  SHEAF_INLINE std::size_t groups() const { return outputs < 32 ? 1 : outputs / 32; }
  SHEAF_INLINE std::size_t first_of(std::size_t group) const { return outputs * group / groups(); }
  SHEAF_INLINE const float* row(std::size_t n, std::size_t block) const {
    return weight + n * stride + block * kInt8Block;
  }
};

// What groups take of each input, as a mean square: of that of the group that takes least, but
// something.
SHEAF_INLINE void least_taken(const Unbalanced& what, float* least) {
  for (std::size_t block = 0; block < what.blocks(); ++block) {
    const std::size_t count = what.count_of(block);
    float* of_block = least + block * kInt8Block;
    for (std::size_t group = 0; group < what.groups(); ++group) {
      const std::size_t begin = what.first_of(group), end = what.first_of(group + 1);
      float squares[kInt8Block] = {};
      for (std::size_t n = begin; n < end; ++n)
        for (std::size_t k = 0; k < count; ++k)
          squares[k] += what.row(n, block)[k] * what.row(n, block)[k];
      for (std::size_t k = 0; k < count; ++k) {
        const float mean = squares[k] / static_cast<float>(end - begin);
        float& so_far = of_block[k];
        so_far = group == 0 || so_far == 0 || (mean > 0 && mean < so_far) ? mean : so_far;
      }
    }
  }
}

// From what is least taken of a block's inputs: so that inputs and those weights are alike even,
// but no input by more than 4 from the block's geometric mean. One of which nothing is known is as
// that mean.
SHEAF_INLINE void balance_block(const float* input_sizes, std::size_t count, float* balance) {
  constexpr float kFarthest = 4;
  float logs = 0, known = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const float ratio = input_sizes[k] / __builtin_sqrtf(balance[k]);
    const bool is_known = input_sizes[k] > 0 && ratio > 0 && ratio <= __FLT_MAX__;
    balance[k] = is_known ? __builtin_sqrtf(ratio) : 0;
    logs += is_known ? __builtin_logf(balance[k]) : 0;
    known += is_known ? 1 : 0;
  }
  const float mean = known > 0 ? __builtin_expf(logs / known) : 0;
  for (std::size_t k = 0; k < count; ++k) {
    const float inverse = balance[k] > 0 ? mean / balance[k] : 1;
    const float bounded = inverse < kFarthest ? inverse : kFarthest;
    balance[k] = bounded > 1 / kFarthest ? bounded : 1 / kFarthest;
  }
}

struct Squares {
  float sum;
  float largest;
};

enum class With { nothing, times, over };

// Of a[k], of a[k] * b[k], or of a[k] / b[k].
template <class Arch, With with>
SHEAF_INLINE Squares squares_of(const float* a, const float* b, std::size_t count) {
  typename Arch::Floats sum = {}, largest = {};
  for (std::size_t k = 0; k < count; k += Arch::width) {
    const auto left = static_cast<std::ptrdiff_t>(count - k);
    const bool whole = left >= static_cast<std::ptrdiff_t>(Arch::width);
    const auto read = [&](const float* x) {
      return whole ? Arch::load(x + k) : Arch::load_first(x + k, left);
    };
    typename Arch::Floats x = read(a);
    if constexpr (with == With::times) x *= read(b);
    if constexpr (with == With::over) x /= Arch::load(b + k);  // which goes on
    sum += x * x;
    largest = Arch::max(x * x, largest);
  }
  return {Arch::sum(sum), Arch::largest(largest)};
}

// What rounding both operands of an output does to a block's sum, as a variance in some unit:
// either's step by all that it is multiplied by. The largest of many inputs is some 2.5 times its
// usual size.
SHEAF_INLINE float noise_of(const Squares& inputs, const Squares& weights) {
  constexpr float kPeak = 2.5f * 2.5f;
  return kPeak * inputs.largest * weights.sum + weights.largest * inputs.sum;
}

// Of one output.
template <class Arch>
SHEAF_INLINE float variance_of(const Unbalanced& what, std::size_t n) {
  float variance = 0;
  for (std::size_t block = 0; block < what.blocks(); ++block)
    variance += squares_of<Arch, With::times>(
                    what.row(n, block), what.input_sizes + block * kInt8Block, what.count_of(block))
                    .sum;
  return variance;
}

// Takes back the balance of blocks from `first` on, kBlocksAtOnce at most, where it would be paid
// for too dearly: by what is worst, the noise of a group's outputs in the mean, each by its own
// variance. What is large is often larger than a norm tells (in MiniLM up to 7 times, hence more
// noise without balance than is calculated here), so that a balance that seems to lose may be a
// gain, by measurement up to some twice the noise; this is against weights that are no longer
// alike, as of pruned models.
constexpr float kSlack = 4;
constexpr std::size_t kBlocksAtOnce = 32;
template <class Arch>
SHEAF_INLINE void keep_gains(const Unbalanced& what, std::size_t first, float* balance) {
  struct Noise {
    Squares inputs;
    float of_group;
    float worst;
  };
  const std::size_t count = smaller(kBlocksAtOnce, what.blocks() - first);
  Noise plain[kBlocksAtOnce] = {}, balanced[kBlocksAtOnce] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = (first + i) * kInt8Block, inputs = what.count_of(first + i);
    plain[i].inputs = squares_of<Arch, With::nothing>(what.input_sizes + at, nullptr, inputs);
    balanced[i].inputs = squares_of<Arch, With::times>(what.input_sizes + at, balance + at, inputs);
  }
  for (std::size_t group = 0; group < what.groups(); ++group) {
    for (std::size_t n = what.first_of(group); n < what.first_of(group + 1); ++n) {
      const float variance = variance_of<Arch>(what, n);
      for (std::size_t i = 0; i < count && variance > 0; ++i) {
        const float* row = what.row(n, first + i);
        const float* of_block = balance + (first + i) * kInt8Block;
        const std::size_t inputs = what.count_of(first + i);
        plain[i].of_group +=
            noise_of(plain[i].inputs, squares_of<Arch, With::nothing>(row, nullptr, inputs)) /
            variance;
        balanced[i].of_group +=
            noise_of(balanced[i].inputs, squares_of<Arch, With::over>(row, of_block, inputs)) /
            variance;
      }
    }
    for (std::size_t i = 0; i < count; ++i)
      for (Noise* noise : {&plain[i], &balanced[i]}) {
        noise->worst = noise->of_group > noise->worst ? noise->of_group : noise->worst;
        noise->of_group = 0;
      }
  }
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = 0; k < kInt8Block && !(balanced[i].worst < kSlack * plain[i].worst); ++k)
      balance[(first + i) * kInt8Block + k] = 1;
}

// balance [blocks of 128]; all 1 where `input_sizes` is null, and beyond the last input.
template <class Arch>
SHEAF_INLINE void balance_inputs(const Unbalanced& what, float* balance) {
  for (std::size_t k = 0; k < what.blocks() * kInt8Block; ++k) balance[k] = 1;
  if (what.input_sizes == nullptr) return;
  least_taken(what, balance);
  for (std::size_t block = 0; block < what.blocks(); ++block)
    balance_block(what.input_sizes + block * kInt8Block, what.count_of(block),
                  balance + block * kInt8Block);
  for (std::size_t first = 0; first < what.blocks(); first += kBlocksAtOnce)
    keep_gains<Arch>(what, first, balance);
}

}  // namespace sheaf::kernels::cpu
