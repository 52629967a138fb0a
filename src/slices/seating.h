#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

// Which device each replica goes to: the arithmetic of placement, in plain numbers.
namespace sheaf::slices {

// A device as far as seating goes by it. Replicas that share one have an even part of its room
// each, whatever they need.
struct Room {
  std::uint64_t bytes = 0;  // that may be used of it
  unsigned card = 0;
  std::vector<std::uint64_t> seated = {};  // bytes that each replica there needs

  std::uint64_t part_bytes(std::size_t replicas) const {
    return replicas == 0 ? bytes : bytes / replicas;
  }
  bool holds(std::uint64_t another) const;  // beside those that are there
  bool is_overfull() const;
};

// The room of each replica, by the replica's place in `needs`; nothing where not all find one.
// Both find a seating where there is one, the second only if all rooms are of one size.
using Seats = std::vector<std::size_t>;

// Each in an empty room of its own: on the card with fewest replicas, there in the largest room.
std::optional<Seats> seat_alone(std::vector<Room> rooms, std::span<const std::uint64_t> needs);

// Several in a room, as evenly as what they need allows: rooms alike differ by one replica at most,
// unless only a tighter packing has room for all.
std::optional<Seats> seat_shared(const std::vector<Room>& rooms,
                                 std::span<const std::uint64_t> needs);

}  // namespace sheaf::slices
