#include "slices/replacement.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "slices/device_share.h"
#include "slices/placement_words.h"

namespace sheaf::slices {
namespace {

// May the share be put where these are already? With the others of a device that was cut as its
// own was, in a place that none of them has.
bool has_place(const PlacedReplica& lost, const Device& device, std::span<const Slice> taken,
               bool& has_mates) {
  for (const Slice& other : taken) {
    if (other.uuid != device.uuid) continue;
    if (lost.slice.shares == 1 || other.shares != lost.slice.shares ||
        other.share == lost.slice.share)
      return false;
    has_mates = true;
  }
  return true;
}

bool is_allowed(const PlacedReplica& lost, const Device& device, const PlacementRules& rules) {
  if (rules.unusable.contains(device.card_uuid)) return false;
  return lost.allowed.empty() || std::ranges::any_of(lost.allowed, [&](const std::string& word) {
           const auto name = on_this_machine(word, rules);
           return name.ok() && device.is_meant_by(*name);
         });
}

bool is_within_cards(const Device& device, const std::vector<Device>& devices,
                     std::span<const Slice> taken, const PlacementRules& rules) {
  if (rules.num_gpus == 0) return true;
  std::set<unsigned> cards = {device.gpu};
  for (const Device& other : devices)
    if (std::ranges::find(taken, other.uuid, &Slice::uuid) != taken.end()) cards.insert(other.gpu);
  return cards.size() <= rules.num_gpus;
}

// Of one slice.
std::optional<Slice> find_slice(const Machine& machine, const std::vector<Device>& devices,
                                const PlacedReplica& lost, std::span<const Slice> taken,
                                const PlacementRules& rules) {
  const Device* best = nullptr;
  bool best_has_mates = false;
  const bool was_mig = lost.slice.uuid.starts_with("MIG-");
  for (const Device& device : devices) {
    bool has_mates = false;
    if (device.mig != was_mig || !is_allowed(lost, device, rules) ||
        !has_place(lost, device, taken, has_mates) ||
        !is_within_cards(device, devices, taken, rules))
      continue;
    // What its mates hold is theirs of the same room.
    Device room = device;
    if (has_mates) room.free_bytes = room.memory_bytes;
    if (share_bytes(room, lost.slice.shares, lost.weights, rules) < lost.needed_bytes) continue;
    const auto rank = [&](const Device& one, bool mates) {
      return std::tuple(one.uuid != lost.slice.uuid, !mates, one.memory_bytes);
    };
    if (best == nullptr || rank(device, has_mates) < rank(*best, best_has_mates)) {
      best = &device;
      best_has_mates = has_mates;
    }
  }
  if (best == nullptr) return std::nullopt;
  Device room = *best;
  if (best_has_mates) room.free_bytes = room.memory_bytes;
  Slice slice = slice_on(room, lost.slice.shares, lost.slice.share, lost.weights, rules);
  bind_near(machine, room, slice);
  slice.threads = lost.slice.threads;
  return slice;
}

}  // namespace

std::optional<PlacedReplica> find_replacement(const Machine& machine,
                                              const std::vector<Device>& devices,
                                              const PlacedReplica& lost,
                                              std::span<const Slice> taken,
                                              const PlacementRules& rules) {
  std::vector<std::optional<Slice>> found(lost.slices().size());
  std::vector<Slice> all(taken.begin(), taken.end());
  // Those that have their own again do not lose it to one of the others.
  for (const bool own : {true, false})
    for (std::size_t rank = 0; rank < found.size(); ++rank) {
      if (found[rank]) continue;
      PlacedReplica one = lost;
      one.slice = lost.slices()[rank];
      found[rank] = find_slice(machine, devices, one, all, rules);
      if (own && found[rank] && found[rank]->uuid != one.slice.uuid) found[rank].reset();
      if (found[rank]) all.push_back(*found[rank]);
      if (!own && !found[rank]) return std::nullopt;
    }
  PlacedReplica placed = lost;
  std::vector<Slice> slices;
  for (auto& slice : found) slices.push_back(std::move(*slice));
  placed.take_cards(std::move(slices));
  return placed;
}

}  // namespace sheaf::slices
