#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// Owns the angles of rotary positions; as long as the longest text so far, since models allow far
// longer ones than most batches hold.
class RotaryTable {
 public:
  RotaryTable() = default;
  RotaryTable(const RotarySpec& spec, std::uint32_t head_size);

  // Turns each head of each row in place, normalized before where it has a norm, each text as it
  // would be turned alone. x [tokens, heads * head_size]
  void turn(kernels::Backend& ops, tensor::TypedSpan x, std::span<const std::uint32_t> cu_seqlens,
            std::size_t heads, const kernels::HeadNorms& norms = {});

 private:
  // Of the positions 0, 1, 2, ... with one speed a pair.
  class Angles {
   public:
    Angles() = default;
    // Radians from a position to the next; cosines and sines are `amplitude` times theirs.
    Angles(const std::vector<double>& speeds, double amplitude);
    kernels::Rotary up_to(std::size_t positions,
                          tensor::Memory& memory);  // valid until the next call

   private:
    std::vector<std::complex<double>> turns_;  // [pairs], from a position to the next
    std::vector<std::complex<double>> next_;   // [pairs], the first position that is not there yet
    std::size_t positions_ = 0;
    std::vector<float> cosines_, sines_;  // [positions, pairs]
    // The same as far as `held_` positions, on a device.
    tensor::Buffer cosines_held_, sines_held_;
    std::size_t held_ = 0;
  };

  // Each of these texts is as long as the model was trained on, or scaling does not ask for it.
  void turn_usual(kernels::Backend& ops, tensor::TypedSpan x,
                  std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const kernels::HeadNorms& norms);
  kernels::Rotary stretched(std::size_t length, tensor::Memory& memory);

  RotarySpec spec_;
  std::size_t pairs_ = 0;
  Angles usual_;
  // Of texts longer than the model was trained on: of all of them (longrope), or (dynamic) of the
  // last such length, since all layers ask for it.
  Angles stretched_;
  std::size_t stretched_length_ = 0;
};

}  // namespace sheaf::model
