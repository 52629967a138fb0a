#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Owns the angles of rotary positions; as long as the longest text so far, since models allow far
// longer ones than most batches hold.
class RotaryTable {
 public:
  RotaryTable() = default;
  RotaryTable(const RotarySpec& spec, std::size_t pairs);

  // Angles for all positions of these texts; valid until the next call.
  kernels::Rotary for_texts(std::span<const std::uint32_t> cu_seqlens);

 private:
  void grow_to(std::size_t positions);

  std::vector<std::complex<double>> turns_;  // [pairs], from a position to the next
  std::vector<std::complex<double>> next_;   // [pairs], the first position that is not in the table
  std::size_t positions_ = 0;
  std::vector<float> cosines_, sines_;  // [positions, pairs]
};

}  // namespace sheaf::model
