#include "slices/card_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>
#include <vector>

namespace sheaf::slices {
namespace {

// A card model and what its views look at.
struct OwnedCard {
  std::string key, product;
  std::deque<std::string> names;
  std::deque<std::vector<int>> starts;
  std::vector<MigProfile> profiles;
  CardModel model;
};

std::vector<int> starts_of(const std::vector<abi::Placement>& placements) {
  std::vector<int> starts;
  for (const abi::Placement& placement : placements)
    starts.push_back(static_cast<int>(placement.start));
  std::ranges::sort(starts);
  return starts;
}

// False where nobody knows its places.
bool read_places(const Nvml& nvml, abi::Device device, const MigProfile* known, OwnedCard& card,
                 MigProfile& profile) {
  const auto placements = nvml.possible_placements(device, profile.id);
  if (placements.ok() && !placements->empty()) {
    card.starts.push_back(starts_of(*placements));
    profile.memory_slices = static_cast<int>(placements->front().size);
  } else if (known != nullptr) {
    card.starts.emplace_back(known->starts.begin(), known->starts.end());
    profile.memory_slices = known->memory_slices;
  } else {
    return false;
  }
  profile.starts = card.starts.back();
  return true;
}

MigProfile facts_of(const NvmlGpuProfile& told) {
  const abi::GpuInstanceProfileInfo& info = told.info;
  return {.index = told.index,
          .id = info.id,
          .compute_slices = static_cast<int>(info.slice_count),
          .count_max = static_cast<int>(info.instance_count),
          .memory_mib = info.memory_mib,
          .multiprocessors = static_cast<int>(info.multiprocessor_count),
          .engines = {static_cast<int>(info.copy_engine_count),
                      static_cast<int>(info.decoder_count), static_cast<int>(info.encoder_count),
                      static_cast<int>(info.jpeg_count), static_cast<int>(info.ofa_count)}};
}

std::string name_of_profile(const NvmlGpuProfile& told, const MigProfile* known,
                            std::uint64_t card_memory_mib) {
  if (!told.name.empty()) return told.name;
  if (known != nullptr) return std::string(known->name);
  return profile_name(static_cast<int>(told.info.slice_count), told.info.memory_mib,
                      card_memory_mib);
}

void set_slices(CardModel& model) {
  for (const MigProfile& profile : model.profiles) {
    model.compute_slices = std::max(model.compute_slices, profile.compute_slices);
    for (const int start : profile.starts)
      model.memory_slices = std::max(model.memory_slices, start + profile.memory_slices);
  }
}

std::shared_ptr<const CardModel> share_table_row(const CardModel* row) {
  return {std::shared_ptr<void>(), row};  // rows live as long as the program
}

}  // namespace

std::string profile_name(int compute_slices, std::uint64_t memory_mib,
                         std::uint64_t card_memory_mib) {
  const double share = static_cast<double>(memory_mib) / static_cast<double>(card_memory_mib);
  const double gib = std::ceil(static_cast<double>(card_memory_mib) / 1024);
  return fmt::format("{}g.{:.0f}gb", compute_slices, std::round(std::ceil(share * 8) / 8 * gib));
}

std::shared_ptr<const CardModel> read_card_model(const Nvml& nvml, abi::Device device,
                                                 std::uint32_t pci_id, const std::string& product) {
  const CardModel* row = pci_id == 0 ? nullptr : find_card_by_pci_id(pci_id);
  const auto told = nvml.gpu_profiles(device);
  if (!told.ok() || told->empty()) return share_table_row(row);
  auto card = std::make_shared<OwnedCard>();
  card->key = row == nullptr ? "" : std::string(row->key);
  card->product = product;
  card->model = row == nullptr ? CardModel{} : *row;
  if (const auto memory = nvml.memory(device); memory.ok())
    card->model.memory_mib = memory->total >> 20;
  if (const auto capability = nvml.compute_capability(device); capability.ok()) {
    card->model.compute_capability_major = capability->major;
    card->model.compute_capability_minor = capability->minor;
  }
  for (const NvmlGpuProfile& one : *told) {
    const MigProfile* known = row == nullptr ? nullptr : find_profile_by_id(*row, one.info.id);
    MigProfile profile = facts_of(one);
    if (!read_places(nvml, device, known, *card, profile)) continue;
    card->names.push_back(name_of_profile(one, known, card->model.memory_mib));
    profile.name = card->names.back();
    card->profiles.push_back(profile);
  }
  if (card->profiles.empty()) return share_table_row(row);
  std::ranges::stable_sort(card->profiles, {}, [](const MigProfile& profile) {
    return std::pair(profile.compute_slices, profile.memory_slices);
  });
  card->model.key = card->key;
  card->model.product = card->product;
  card->model.profiles = card->profiles;
  set_slices(card->model);
  const CardModel* model = &card->model;
  return {std::move(card), model};
}

}  // namespace sheaf::slices
