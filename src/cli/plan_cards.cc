#include "cli/plan_cards.h"

#include <fmt/format.h>

#include <map>

#include "cli/plan_model.h"

namespace sheaf::cli {

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

Result<PlanCards> cards_here(const slices::GpuInventory& inventory) {
  PlanCards cards;
  std::map<std::string, int> kinds;
  for (const slices::Gpu& gpu : inventory.gpus) {
    if (!gpu.visible) continue;
    if (gpu.model == nullptr) {
      cards.left_out.push_back(fmt::format("GPU {}, {}, which {}; --gpu describes it", gpu.index,
                                           gpu.name,
                                           gpu.mig ? "sheaf does not know" : "has no MIG"));
      continue;
    }
    ++kinds[gpu.name];
    cards.model = gpu.model;
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
