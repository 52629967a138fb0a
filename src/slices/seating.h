#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

// Which device each replica goes to: the arithmetic of placement, in plain numbers.
namespace sheaf::slices {

// What a replica takes of its device.
struct Need {
  std::uint64_t bytes = 0;          // by itself
  std::uint64_t weights_bytes = 0;  // once for all replicas of its model there
  std::size_t model = 0;

  std::uint64_t total_bytes() const { return bytes + weights_bytes; }
};

// A device as far as seating goes by it. Replicas that share one have an even part each of what
// their models' weights leave, whatever they need.
struct Room {
  std::uint64_t bytes = 0;  // that may be used of it
  unsigned card = 0;
  std::vector<Need> seated = {};

  std::uint64_t weights_bytes() const;
  // Of each of those there, beside the weights; 0 where these leave nothing.
  std::uint64_t part_bytes() const;
  Room with(const Need& another) const;
  bool holds(const Need& another) const;  // beside those that are there
  bool is_overfull() const;
};

// The room of each replica, by the replica's place in `needs`; nothing where not all find one.
// Both find a seating where there is one, the second only if all rooms are of one size and no model
// has weights of its own.
using Seats = std::vector<std::size_t>;

// Each in an empty room of its own: on the card with fewest replicas, there in the largest room.
std::optional<Seats> seat_alone(std::vector<Room> rooms, std::span<const Need> needs);

// Several in a room, as evenly as what they need allows: rooms alike differ by one replica at most,
// unless only a tighter packing has room for all.
std::optional<Seats> seat_shared(const std::vector<Room>& rooms, std::span<const Need> needs);

}  // namespace sheaf::slices
