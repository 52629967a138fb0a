#pragma once

#include <vector>

#include "planner/one_card.h"

namespace sheaf::planner {

// Some of a model's wanted rate, for one card: all of it, unless that is more than a card's.
struct Piece {
  std::size_t model = 0;  // index of its demand
  Demand demand;
};

struct PackedCard {
  std::vector<Piece> pieces;  // no two of one model
  CardPlan plan;              // members are indexes of pieces
};

// Every model runs, and every target is met.
bool is_good(const CardPlan& plan);

// At most machine.cards of them, none without a piece. Heaviest pieces first.
std::vector<PackedCard> pack_cards(const Machine& machine, std::span<const Demand> demands);

}  // namespace sheaf::planner
