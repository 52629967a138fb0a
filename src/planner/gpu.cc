#include "planner/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/text.h"
#include "slices/mig_geometry.h"

namespace sheaf::planner {
namespace {

std::string card_names(std::string_view prefix) {
  std::string names;
  for (const slices::CardModel& card : slices::card_models())
    if (card.key.starts_with(prefix))
      names += fmt::format("{}{}", names.empty() ? "" : ", ", card.key);
  return names;
}

// How many of each profile of a card; its rows in order.
using Counts = std::vector<int>;

bool is_part_of(const Counts& a, const Counts& b) {
  return a != b && std::ranges::equal(a, b, std::less_equal<>());
}

bool has_media_engines(const slices::MigProfile& profile) {
  return profile.name.find('+') != std::string_view::npos;
}

std::set<Counts> full_counts(const slices::CardModel& card) {
  std::set<Counts> all;
  for (const slices::MigGeometry& geometry : slices::all_geometries(card)) {
    Counts counts;
    for (const slices::MigProfile& profile : card.profiles)
      counts.push_back(geometry.count(profile));
    bool plain = true;
    for (std::size_t i = 0; i < counts.size(); ++i)
      plain = plain && (counts[i] == 0 || !has_media_engines(card.profiles[i]));
    if (plain) all.insert(std::move(counts));
  }
  std::set<Counts> full;
  for (const Counts& counts : all)
    if (std::ranges::none_of(all, [&](const Counts& more) { return is_part_of(counts, more); }))
      full.insert(counts);
  return full;
}

Part part_for(const slices::CardModel& card, const slices::MigProfile& profile) {
  return {std::string(profile.name), profile.memory_bytes(),
          static_cast<double>(profile.multiprocessors) / card.multiprocessors,
          static_cast<double>(profile.memory_slices) / card.memory_slices};
}

}  // namespace

std::string capability_text(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

std::string why_no_fp8(int capability) {
  return fmt::format("has compute capability {}, and fp8 needs {}", capability_text(capability),
                     capability_text(kFp8Capability));
}

std::string lacks_fp8_text(std::string_view model, std::string_view card, int capability) {
  return fmt::format(
      "model {}: --dtype fp8 needs a card of compute capability {} or later, and {} has {}; "
      "--dtype "
      "bfloat16 computes on it",
      model, capability_text(kFp8Capability), card, capability_text(capability));
}

Result<const slices::CardModel*> find_card(std::string_view name) {
  if (const slices::CardModel* card = slices::find_card(name)) return card;
  const slices::CardModel* found = nullptr;
  std::vector<std::string_view> keys;
  for (const slices::CardModel& card : slices::card_models()) {
    keys.push_back(card.key);
    if (name.empty() || !card.key.starts_with(name)) continue;
    if (found != nullptr)
      return Error{ErrorCode::invalid_argument,
                   fmt::format("'{}' may be any of {}", name, card_names(name))};
    found = &card;
  }
  if (found != nullptr) return found;
  const std::string_view near = nearest_word(name, keys);
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("there is no card '{}'{}; known are {}", name,
                  near.empty() ? "" : fmt::format(" (did you mean {}?)", near), card_names(""))};
}

Result<Gpu> find_gpu(std::string_view text) {
  const std::size_t slash = text.find('/');
  SHEAF_ASSIGN(const slices::CardModel* card, find_card(text.substr(0, slash)));
  if (slash == std::string_view::npos)
    return Gpu{std::string(card->key), card->memory_bytes(), card, nullptr};
  SHEAF_ASSIGN(const slices::MigProfile* profile,
               slices::profile_named(*card, text.substr(slash + 1)));
  return Gpu{fmt::format("{}/{}", card->key, profile->name), profile->memory_bytes(), card,
             profile};
}

Machine machine_of(const slices::CardModel& card, std::uint32_t cards, double memory_utilization) {
  Machine machine{
      std::string(card.key), {{Part{"", card.memory_bytes(), 1, 1}}}, cards, memory_utilization};
  if (!card.has_mig()) return machine;
  for (const Counts& counts : full_counts(card)) {
    Cut cut;
    for (std::size_t i = counts.size(); i-- > 0;)
      cut.insert(cut.end(), static_cast<std::size_t>(counts[i]), part_for(card, card.profiles[i]));
    machine.cuts.push_back(std::move(cut));
  }
  return machine;
}

}  // namespace sheaf::planner
