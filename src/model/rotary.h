#pragma once

#include <cstddef>
#include <vector>

#include "kernels/ops.h"

namespace sheaf::model {

// Owns the angles of rotary positions: pair i of a head of 2 * pairs turns by position *
// theta^(-i / pairs).
class RotaryTable {
 public:
  RotaryTable() = default;
  RotaryTable(std::size_t positions, std::size_t pairs, double theta);

  kernels::Rotary view() const { return {cosines_.data(), sines_.data(), pairs_}; }

 private:
  std::size_t pairs_ = 0;
  std::vector<float> cosines_, sines_;  // [positions, pairs]
};

}  // namespace sheaf::model
