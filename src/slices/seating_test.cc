#include "slices/seating.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sheaf::slices {
namespace {

using Needs = std::vector<Need>;

Needs needs_of(const std::vector<std::uint64_t>& bytes) {
  Needs needs;
  for (const std::uint64_t one : bytes) needs.push_back({.bytes = one});
  return needs;
}

std::vector<Room> rooms_of(const std::vector<std::uint64_t>& bytes, unsigned to_a_card = 1) {
  std::vector<Room> rooms;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    rooms.push_back({bytes[i], static_cast<unsigned>(i) / to_a_card});
  return rooms;
}

// The slow check: every seating is tried.
bool has_seating(std::vector<Room>& rooms, const Needs& needs, std::size_t next, bool alone) {
  if (next == needs.size())
    return std::ranges::none_of(rooms, [](const Room& room) { return room.is_overfull(); });
  for (Room& room : rooms) {
    if (alone && !room.seated.empty()) continue;
    room.seated.push_back(needs[next]);
    const bool found = has_seating(rooms, needs, next + 1, alone);
    room.seated.pop_back();
    if (found) return true;
  }
  return false;
}

// Seats everyone once, and overfills nothing.
void expect_sound(std::vector<Room> rooms, const Needs& needs, const Seats& seats) {
  ASSERT_EQ(seats.size(), needs.size());
  for (std::size_t i = 0; i < seats.size(); ++i) {
    ASSERT_LT(seats[i], rooms.size());
    rooms[seats[i]].seated.push_back(needs[i]);
  }
  for (const Room& room : rooms) EXPECT_FALSE(room.is_overfull());
}

std::vector<std::size_t> crowds(const Seats& seats, std::size_t rooms) {
  std::vector<std::size_t> count(rooms, 0);
  for (const std::size_t seat : seats) ++count[seat];
  return count;
}

TEST(Seating, AloneGoesOverCardsFirst) {
  const auto seats = seat_alone(rooms_of({10, 10, 10, 10}, 2), needs_of({1, 1}));
  ASSERT_TRUE(seats);
  EXPECT_EQ(*seats, (Seats{0, 2}));
  EXPECT_FALSE(seat_alone(rooms_of({10, 10}), needs_of({1, 1, 1})));
  EXPECT_FALSE(seat_alone(rooms_of({10, 5}), needs_of({6, 6})));
  EXPECT_TRUE(seat_alone(rooms_of({10, 5}), needs_of({5, 6})));
}

TEST(Seating, TakenRoomsAreNoRoomsOfOnesOwn) {
  auto rooms = rooms_of({10, 10});
  rooms[0].seated = needs_of({1});
  EXPECT_EQ(*seat_alone(rooms, needs_of({1})), Seats{1});
  EXPECT_FALSE(seat_alone(rooms, needs_of({1, 1})));
}

TEST(Seating, SharedPacksTighterOnlyWhereItMust) {
  EXPECT_EQ(crowds(*seat_shared(rooms_of({10, 10}), needs_of({2, 2, 2, 2, 2})), 2),
            (std::vector<std::size_t>{3, 2}));
  // Evenly the large ones would each have a room, and the small ones none.
  const auto tight = seat_shared(rooms_of({10, 10}), needs_of({5, 5, 2, 2, 2}));
  ASSERT_TRUE(tight);
  EXPECT_EQ((*tight)[0], (*tight)[1]);
  EXPECT_FALSE(seat_shared(rooms_of({10, 10}), needs_of({6, 6, 2})));
}

TEST(Seating, WeightsCountOnceARoom) {
  const Need first = {.bytes = 2, .weights_bytes = 4, .model = 0};
  const Need other = {.bytes = 2, .weights_bytes = 3, .model = 1};
  EXPECT_TRUE(seat_shared(rooms_of({10}), Needs(3, first)));
  EXPECT_FALSE(seat_shared(rooms_of({10}), Needs(4, first)));
  EXPECT_FALSE(seat_shared(rooms_of({10}), Needs{first, other})) << "3 are left for two";
  EXPECT_TRUE(seat_shared(rooms_of({11}), Needs{first, other}));
  EXPECT_FALSE(seat_alone(rooms_of({5}), Needs{first}));
}

TEST(Seating, AgreesWithTryingEverySeating) {
  std::mt19937 random(7);
  const auto below = [&](unsigned limit) { return random() % limit; };
  int seated = 0, refused = 0;
  for (int i = 0; i < 4'000; ++i) {
    const bool alike = i % 2 == 0;
    std::vector<std::uint64_t> bytes(1 + below(4), 4 + below(17));
    if (!alike)
      for (std::uint64_t& one : bytes) one = 1 + below(20);
    Needs needs(1 + below(6));
    const bool apart = i % 4 > 1;  // weights
    const std::uint64_t weights[] = {apart ? below(5) : 0, apart ? below(5) : 0};
    for (Need& need : needs) {
      need = {.bytes = 1 + below(12), .model = below(2)};
      need.weights_bytes = weights[need.model];
    }
    auto rooms = rooms_of(bytes, 1 + below(2));

    const auto alone = seat_alone(rooms, needs);
    EXPECT_EQ(alone.has_value(), has_seating(rooms, needs, 0, true));
    if (alone) expect_sound(rooms, needs, *alone);

    const auto shared = seat_shared(rooms, needs);
    if (shared) expect_sound(rooms, needs, *shared);
    const bool possible = has_seating(rooms, needs, 0, false);
    EXPECT_TRUE(possible || !shared);
    EXPECT_TRUE(shared || !possible || !alike || apart) << "of rooms alike none is overlooked";
    ++(shared ? seated : refused);
  }
  EXPECT_GT(seated, 1'000);
  EXPECT_GT(refused, 200);
}

TEST(Seating, AlikeReplicasDifferByOneARoom) {
  for (std::size_t rooms = 1; rooms <= 9; ++rooms)
    for (std::size_t replicas = 1; replicas <= 30; ++replicas) {
      const auto seats = seat_shared(rooms_of(std::vector<std::uint64_t>(rooms, 1000)),
                                     Needs(replicas, {.bytes = 10}));
      ASSERT_TRUE(seats);
      const auto count = crowds(*seats, rooms);
      EXPECT_LE(std::ranges::max(count) - std::ranges::min(count), 1u);
    }
}

}  // namespace
}  // namespace sheaf::slices
