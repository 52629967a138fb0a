#include "planner/many_cards.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace sheaf::planner {
namespace {

constexpr std::uint32_t kSplitsMax = 4;  // parts that a piece is cut into where no card has room
constexpr double kCrumb = 1e-9;          // of a card's rate: nothing
// Of one card's search: alone, about a second's worth; as one of the many that packing takes.
constexpr std::size_t kSteps = 300'000;
constexpr std::size_t kPackingSteps = 10'000;
// Of searches while packing: so many are careful, and after the last nothing is tried any more,
// so that some hundred models on many cards are planned in seconds, if not well.
constexpr std::size_t kCarefulPlans = 100, kPlansMax = 1000;
constexpr std::size_t kHastySteps = 1000;

struct CardLoad {
  double compute = 0;
  double bandwidth = 0;
  double worst() const { return std::max(compute, bandwidth); }
};

// Of whole cards.
CardLoad load_of(const Demand& demand) {
  return {demand.wanted_tokens_per_s / demand.compute_tokens_per_s,
          demand.wanted_tokens_per_s / demand.bandwidth_tokens_per_s};
}

CardLoad load_of(const std::vector<Piece>& pieces) {
  CardLoad sum;
  for (const Piece& piece : pieces) {
    const CardLoad load = load_of(piece.demand);
    sum.compute += load.compute;
    sum.bandwidth += load.bandwidth;
  }
  return sum;
}

std::uint64_t bytes_of(const Demand& demand) { return demand.weights_bytes + demand.replica_bytes; }

Piece split_piece(const Piece& piece, std::uint32_t parts) {
  Piece part = piece;
  part.demand.wanted_tokens_per_s /= parts;
  return part;
}

Piece piece_of(std::size_t model, const Demand& demand, double tokens_per_s) {
  Piece piece{model, demand};
  piece.demand.wanted_tokens_per_s = tokens_per_s;
  return piece;
}

// Cards full of a model and a rest, which finds room beside others sooner than equal parts would.
// The heaviest pieces come first, but the first of every model before all others, so that cards do
// not run out before every model has a replica.
std::vector<Piece> pieces_of(std::span<const Demand> demands, std::uint32_t cards) {
  std::vector<Piece> firsts, others;
  for (std::size_t i = 0; i < demands.size(); ++i) {
    const double limit = demands[i].p99_ms > 0 ? kPunctualLimit : 1.0;
    const double card_rate = rate_in(Part{}, demands[i]) * limit;
    double rest = demands[i].wanted_tokens_per_s;
    firsts.push_back(piece_of(i, demands[i], std::min(rest, card_rate)));
    rest -= card_rate;
    for (std::uint32_t card = 1; card < cards && rest > kCrumb * card_rate; ++card) {
      others.push_back(piece_of(i, demands[i], std::min(rest, card_rate)));
      rest -= card_rate;
    }
    // More than all cards could do.
    if (rest > kCrumb * card_rate) firsts.back().demand.wanted_tokens_per_s += rest;
  }
  // By memory where nothing is asked of them.
  const auto heavier = [](const Piece& a, const Piece& b) {
    const double first = load_of(a.demand).worst(), second = load_of(b.demand).worst();
    return first != second ? first > second : bytes_of(a.demand) > bytes_of(b.demand);
  };
  std::ranges::stable_sort(firsts, heavier);
  std::ranges::stable_sort(others, heavier);
  firsts.insert(firsts.end(), others.begin(), others.end());
  return firsts;
}

class Packer {
 public:
  explicit Packer(const Machine& machine) : machine_(machine) {}

  std::vector<PackedCard> run(std::span<const Demand> demands) {
    for (const Piece& piece : pieces_of(demands, machine_.cards))
      if (!put(piece) && !put_in_parts(piece)) squeeze(piece);
    empty_cards();
    if (is_tired())  // what was put without a plan has it now
      for (PackedCard& card : cards_) card.plan = plan_of(card.pieces);
    return std::move(cards_);
  }

 private:
  bool is_tired() const { return plans_ >= kPlansMax; }

  CardPlan plan_of(const std::vector<Piece>& pieces) {
    std::vector<Demand> demands;
    for (const Piece& piece : pieces) demands.push_back(piece.demand);
    return plan_card(machine_, demands, plans_++ < kCarefulPlans ? kPackingSteps : kHastySteps);
  }

  static bool has(const PackedCard& card, std::size_t model) {
    return std::ranges::find(card.pieces, model, &Piece::model) != card.pieces.end();
  }

  // The card with the piece; nothing if it has one of this model, or then misses a target.
  std::optional<PackedCard> with(const PackedCard& card, const Piece& piece) {
    if (is_tired() || has(card, piece.model)) return std::nullopt;
    PackedCard more{card.pieces, {}};
    more.pieces.push_back(piece);
    if (load_of(more.pieces).worst() > 1) return std::nullopt;
    more.plan = plan_of(more.pieces);
    if (!is_good(more.plan)) return std::nullopt;
    return more;
  }

  // Onto the card whose load it raises least; among equals onto the fullest; but `except`.
  bool put_on_used(const Piece& piece, std::size_t except) {
    std::optional<PackedCard> best;
    std::size_t best_at = 0;
    double least_rise = 0, fullest = 0;
    for (std::size_t at = 0; at < cards_.size(); ++at) {
      if (at == except) continue;
      const double before = load_of(cards_[at].pieces).worst();
      std::optional<PackedCard> more = with(cards_[at], piece);
      if (!more) continue;
      const double rise = load_of(more->pieces).worst() - before;
      if (best && (rise > least_rise || (rise == least_rise && before <= fullest))) continue;
      best = std::move(more);
      best_at = at;
      least_rise = rise;
      fullest = before;
    }
    if (best) cards_[best_at] = std::move(*best);
    return best.has_value();
  }

  bool put(const Piece& piece) {
    if (put_on_used(piece, cards_.size())) return true;
    if (cards_.size() == machine_.cards) return false;
    cards_.push_back({{piece}, plan_of({piece})});
    return true;
  }

  bool put_in_parts(const Piece& piece) {
    if (piece.demand.wanted_tokens_per_s == 0) return false;
    for (std::uint32_t parts = 2; parts <= kSplitsMax; ++parts) {
      const std::vector<PackedCard> before = cards_;
      std::uint32_t placed = 0;
      while (placed < parts && put_on_used(split_piece(piece, parts), cards_.size())) ++placed;
      if (placed == parts) return true;
      cards_ = before;
    }
    return false;
  }

  // No card can meet it: where least is missed for it. A model that has its replica elsewhere is
  // not worth what others would lose.
  void squeeze(const Piece& piece) {
    if (std::ranges::any_of(cards_, [&](const auto& card) { return has(card, piece.model); })) {
      owe(piece);
      return;
    }
    if (is_tired()) {
      const auto idlest = std::ranges::min_element(
          cards_, {}, [](const PackedCard& card) { return load_of(card.pieces).worst(); });
      idlest->pieces.push_back(piece);
      return;
    }
    std::optional<PackedCard> best;
    std::size_t best_at = 0;
    Score best_loss;
    for (std::size_t at = 0; at < cards_.size(); ++at) {
      PackedCard more{cards_[at].pieces, {}};
      more.pieces.push_back(piece);
      more.plan = plan_of(more.pieces);
      Score loss = more.plan.score;
      loss.unserved -= cards_[at].plan.score.unserved;
      loss.unmet -= cards_[at].plan.score.unmet;
      loss.missing_ppm -= cards_[at].plan.score.missing_ppm;
      if (best && !(loss < best_loss)) continue;
      best = std::move(more);
      best_at = at;
      best_loss = loss;
    }
    cards_[best_at] = std::move(*best);
  }

  // What was to be carried by a further replica is asked of one that there is, as far as it can.
  void owe(const Piece& piece) {
    for (PackedCard& card : cards_)
      for (Piece& other : card.pieces) {
        if (other.model != piece.model) continue;
        other.demand.wanted_tokens_per_s += piece.demand.wanted_tokens_per_s;
        if (!is_tired()) card.plan = plan_of(card.pieces);
        return;
      }
  }

  // Packed one by one, the last cards may hold what has room elsewhere.
  void empty_cards() {
    for (std::size_t at = cards_.size(); at-- > 0 && !is_tired();) {
      const std::vector<PackedCard> before = cards_;
      const bool moved = std::ranges::all_of(
          before[at].pieces, [&](const Piece& piece) { return put_on_used(piece, at); });
      if (moved && before.size() > 1)
        cards_.erase(cards_.begin() + static_cast<std::ptrdiff_t>(at));
      else
        cards_ = before;
    }
  }

  const Machine& machine_;
  std::vector<PackedCard> cards_;
  std::size_t plans_ = 0;  // made so far
};

}  // namespace

bool is_good(const CardPlan& plan) { return plan.score.unserved == 0 && plan.score.unmet == 0; }

std::vector<PackedCard> pack_cards(const Machine& machine, std::span<const Demand> demands) {
  if (demands.empty()) return {};
  PackedCard card;
  for (std::size_t i = 0; i < demands.size(); ++i) card.pieces.push_back({i, demands[i]});
  if (machine.cards > 1 && load_of(card.pieces).worst() > 1) return Packer(machine).run(demands);
  card.plan = plan_card(machine, demands, kSteps);
  if (machine.cards > 1 && !is_good(card.plan)) return Packer(machine).run(demands);
  return {card};
}

}  // namespace sheaf::planner
