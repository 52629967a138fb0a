#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "planner/plan.h"
#include "slices/mig_table.h"

namespace sheaf::planner {

// From which compute capability on cards multiply in fp8: 8.9, Ada's.
inline constexpr int kFp8Capability = 89;
inline int compute_capability(const slices::CardModel& card) {
  return card.compute_capability_major * 10 + card.compute_capability_minor;
}
inline bool lacks_fp8(const slices::CardModel& card) {
  return compute_capability(card) < kFp8Capability;
}
// "8.9" of 89.
std::string capability_text(int capability);
// Why cards of such a capability do not compute in fp8, for everyone who has to say it: what one of
// several "has compute capability 8.0, and fp8 needs 8.9", and why a model runs on none.
std::string why_no_fp8(int capability);
std::string lacks_fp8_text(std::string_view model, std::string_view card, int capability);

// A card or a MIG slice to plan for. It need not be in this machine.
struct Gpu {
  std::string name;  // "h200-141", "a100-40/1g.5gb", "24GiB"
  std::uint64_t memory_bytes = 0;
  const slices::CardModel* card = nullptr;      // nothing: only its memory is known
  const slices::MigProfile* profile = nullptr;  // nothing: a whole card

  bool lacks_fp8() const { return card != nullptr && planner::lacks_fp8(*card); }
};

// "h200-141", or the beginning "h200" of just one card's name. Errors name the cards there are.
Result<const slices::CardModel*> find_card(std::string_view name);

// A card as find_card() takes it, or one with a MIG profile or its id behind a slash. Errors name
// the cards or profiles that there are.
Result<Gpu> find_gpu(std::string_view text);

// So many cards of a kind with every valid cut: profiles that differ in media engines alone count
// as one, and cuts that leave room for another slice are left out.
Machine machine_of(const slices::CardModel& card, std::uint32_t cards, double memory_utilization);

}  // namespace sheaf::planner
