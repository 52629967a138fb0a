#include "cli/plan_cards.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/plan_model.h"

namespace sheaf::cli {
namespace {

// The inventory knows models of cards that can be cut; of others the table may have a row.
std::shared_ptr<const slices::CardModel> model_of(const slices::Gpu& gpu, bool with_mig) {
  if (with_mig || gpu.model != nullptr || gpu.pci_id == 0) return gpu.model;
  return {std::shared_ptr<void>(), slices::find_card_by_pci_id(gpu.pci_id)};
}

std::string why_unknown(const slices::Gpu& gpu, bool with_mig) {
  return with_mig && !gpu.mig ? "has no MIG" : "sheaf does not know";
}

bool lacks_fp8(const slices::Gpu& gpu) {
  return gpu.compute_capability() < planner::kFp8Capability;
}

}  // namespace

Result<PlanCards> described_cards(const std::string& name, std::uint32_t count) {
  SHEAF_ASSIGN(const planner::Gpu gpu, parse_gpu(name));
  if (gpu.card == nullptr || gpu.profile != nullptr)
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("--gpu {}: a plan cuts whole cards; name one, as in --gpu h200", name)};
  PlanCards cards;
  cards.model = {std::shared_ptr<void>(), gpu.card};  // of the table, which outlives all
  for (unsigned index = 0; index < count; ++index) cards.indexes.push_back(index);
  return cards;
}

Result<PlanCards> cards_here(const slices::GpuInventory& inventory, bool fp8) {
  PlanCards cards;
  std::map<std::string, int> kinds;
  const bool some_have_fp8 = std::ranges::any_of(
      inventory.gpus, [](const auto& gpu) { return gpu.visible && !lacks_fp8(gpu); });
  const bool only_fp8 = fp8 && some_have_fp8;
  const bool with_mig = std::ranges::any_of(inventory.gpus, [&](const auto& gpu) {
    return gpu.visible && gpu.model != nullptr && !(only_fp8 && lacks_fp8(gpu));
  });
  const auto leave_out = [&cards](const slices::Gpu& gpu, const std::string& why) {
    cards.left_out.push_back(
        fmt::format("GPU {}, {}, which {}; --gpu describes it", gpu.index, gpu.name, why));
  };
  for (const slices::Gpu& gpu : inventory.gpus) {
    if (!gpu.visible) continue;
    if (only_fp8 && lacks_fp8(gpu)) {
      leave_out(gpu, planner::why_no_fp8(gpu.compute_capability()));
      continue;
    }
    const auto model = model_of(gpu, with_mig);
    if (model == nullptr) {
      leave_out(gpu, why_unknown(gpu, with_mig));
      continue;
    }
    ++kinds[gpu.name];
    cards.model = model;
    cards.indexes.push_back(gpu.index);
  }
  if (kinds.empty())
    return Error{ErrorCode::not_found,
                 "no card here that can be planned for; --gpu h200 --count 8 describes one that is "
                 "elsewhere"};
  if (kinds.size() == 1) return cards;
  std::vector<std::string> names;
  for (const auto& [name, count] : kinds) names.push_back(fmt::format("{} × {}", count, name));
  return Error{ErrorCode::unsupported,
               fmt::format("cards of several kinds are here ({}); show one kind by "
                           "CUDA_VISIBLE_DEVICES, or describe it by --gpu",
                           fmt::join(names, ", "))};
}

}  // namespace sheaf::cli
