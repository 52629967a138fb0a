#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/emulation/block.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// A card that this processor plays, for tests: its memory is the host's.
struct EmulatedCard {
  emulation::Order order = emulation::Order::forward;
  // Whether an operand that is in no block of its memory() fails the backend, as it would fail on a
  // card; without, tests may pass what they have.
  bool own_memory_only = false;
  // 90 for 9.0, as which the library multiplies by scales, and no other does.
  int compute_capability = 90;
  std::size_t shared_bytes_max = std::size_t{227} << 10;  // of a block
  // With one, kernels that have to fill the card are taken for any number of rows.
  unsigned multiprocessors = 1;
};

std::unique_ptr<Device> make_emulated_device(EmulatedCard card = {},
                                             SharedCopy* weights_copy = nullptr, int lanes = 1);

// By kCardPrecisions: "emulated cuda float32", "emulated cuda bfloat16", and so on. Those of one
// list find out by the clock together (card_findings.h).
std::vector<DeviceBackend> emulated_backends(EmulatedCard card = {});

}  // namespace sheaf::kernels::cuda
