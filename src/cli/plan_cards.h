#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/gpu.h"

namespace sheaf::cli {

// The cards that a plan is made for, all of one kind.
struct PlanCards {
  std::shared_ptr<const slices::CardModel> model;
  std::vector<unsigned> indexes;  // as NVML counts them; of cards that are only described from 0
  std::vector<std::string> left_out = {};  // of those here: which, and why
};

// So many of a card of the table ("h200").
Result<PlanCards> described_cards(const std::string& name, std::uint32_t count);

// Those of this machine that CUDA_VISIBLE_DEVICES shows. What runs on them is not looked at. Errors
// say what is here instead, and that --gpu describes others. Where some have `fp8` and it is
// wanted, those that do not are left out, as `sheaf serve` leaves them.
Result<PlanCards> cards_here(const slices::GpuInventory& inventory, bool fp8);

}  // namespace sheaf::cli
