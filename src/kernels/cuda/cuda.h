#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// What programs that are linked with CUDA give to add_device_backends(): "cuda float32", "cuda
// bfloat16", "cuda float16", "cuda fp8", "cuda fp8 with attention" and "cuda int8" on the first
// card that CUDA_VISIBLE_DEVICES leaves. To make one is an error of kind unsupported, one sentence,
// if there is no driver, an old one, no card, or one that this build has no code for. Those of one
// list find out by the clock together (card_findings.h).
std::vector<DeviceBackend> card_backends();

// Compute capabilities that this build has code for, 90 for 9.0.
std::vector<int> compiled_capabilities();

struct Card {
  std::string name, uuid;      // "NVIDIA H200"; "GPU-…"
  int compute_capability = 0;  // 90 for 9.0
  std::uint64_t memory_bytes = 0;
};
// The cards that CUDA_VISIBLE_DEVICES leaves, as CUDA lists them: of one that is cut, one MIG
// device at most. Takes what the driver takes to wake them, and makes no context. Errors as above
// but for cards without code.
Result<std::vector<Card>> find_cards();

// By what ranks that have a card each add up: "NCCL 2.32.3". Error of kind unsupported, one
// sentence that says what helps, where it is not there.
Result<std::string> what_adds_up();

// Assumed, not measured: what a process holds of a card's memory once it has a context on it, with
// the code of this program and of cuBLASLt.
inline constexpr std::uint64_t kContextBytes = std::uint64_t{500} << 20;
// The same: what NCCL keeps of the card of each rank.
inline constexpr std::uint64_t kNcclBytes = std::uint64_t{512} << 20;

}  // namespace sheaf::kernels::cuda
