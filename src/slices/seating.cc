#include "slices/seating.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace sheaf::slices {
namespace {

constexpr std::size_t kNoRoom = SIZE_MAX;

// Places in `needs`, those that need most first.
std::vector<std::size_t> by_need(std::span<const Need> needs) {
  std::vector<std::size_t> order(needs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return needs[a].total_bytes() > needs[b].total_bytes();
  });
  return order;
}

std::map<unsigned, std::size_t> replicas_by_card(const std::vector<Room>& rooms) {
  std::map<unsigned, std::size_t> count;
  for (const Room& room : rooms) count[room.card] += room.seated.size();
  return count;
}

// The empty room for a replica: rooms that hold it also hold all that come later and need less, so
// any choice leaves the others as many as any other would.
std::size_t empty_room_for(const std::vector<Room>& rooms, const Need& need) {
  const auto crowd = replicas_by_card(rooms);
  std::size_t best = kNoRoom;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    const Room& room = rooms[i];
    if (!room.seated.empty() || room.bytes < need.total_bytes()) continue;
    if (best == kNoRoom || crowd.at(room.card) < crowd.at(rooms[best].card) ||
        (crowd.at(room.card) == crowd.at(rooms[best].card) && room.bytes > rooms[best].bytes))
      best = i;
  }
  return best;
}

// The room that leaves everyone there the largest part.
std::size_t widest_room_for(const std::vector<Room>& rooms, const Need& need) {
  const auto crowd = replicas_by_card(rooms);
  std::size_t best = kNoRoom;
  const auto part = [&](std::size_t i) { return rooms[i].with(need).part_bytes(); };
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    if (!rooms[i].holds(need)) continue;
    if (best == kNoRoom || part(i) > part(best) ||
        (part(i) == part(best) && crowd.at(rooms[i].card) < crowd.at(rooms[best].card)))
      best = i;
  }
  return best;
}

// The first that has anyone in it and holds one more, else the largest empty one: those that need
// most go together, and take no room from those that need little.
std::size_t fullest_room_for(const std::vector<Room>& rooms, const Need& need) {
  std::size_t best = kNoRoom;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    if (!rooms[i].holds(need)) continue;
    if (!rooms[i].seated.empty()) return i;
    if (best == kNoRoom || rooms[i].bytes > rooms[best].bytes) best = i;
  }
  return best;
}

using ChooseRoom = std::size_t (*)(const std::vector<Room>&, const Need&);

std::optional<Seats> seat(std::vector<Room> rooms, std::span<const Need> needs, ChooseRoom choose) {
  Seats seats(needs.size());
  for (const std::size_t replica : by_need(needs)) {
    const std::size_t room = choose(rooms, needs[replica]);
    if (room == kNoRoom) return std::nullopt;
    rooms[room].seated.push_back(needs[replica]);
    seats[replica] = room;
  }
  return seats;
}

}  // namespace

std::uint64_t Room::weights_bytes() const {
  std::map<std::size_t, std::uint64_t> by_model;
  for (const Need& need : seated) by_model[need.model] = need.weights_bytes;
  std::uint64_t sum = 0;
  for (const auto& [model, weights] : by_model) sum += weights;
  return sum;
}

std::uint64_t Room::part_bytes() const {
  const std::uint64_t left = bytes - std::min(bytes, weights_bytes());
  return seated.empty() ? left : left / seated.size();
}

Room Room::with(const Need& another) const {
  Room room = *this;
  room.seated.push_back(another);
  return room;
}

bool Room::holds(const Need& another) const { return !with(another).is_overfull(); }

bool Room::is_overfull() const {
  const std::uint64_t part = part_bytes();
  return weights_bytes() > bytes ||
         std::ranges::any_of(seated, [part](const Need& need) { return part < need.bytes; });
}

std::optional<Seats> seat_alone(std::vector<Room> rooms, std::span<const Need> needs) {
  return seat(std::move(rooms), needs, empty_room_for);
}

std::optional<Seats> seat_shared(const std::vector<Room>& rooms, std::span<const Need> needs) {
  if (auto even = seat(rooms, needs, widest_room_for)) return even;
  return seat(rooms, needs, fullest_room_for);
}

}  // namespace sheaf::slices
