#pragma once

#include "planner/memory.h"
#include "planner/plan.h"
#include "slices/mig_table.h"

namespace sheaf::planner {

// Assumed where nothing was measured: shares of a card's peak arithmetic and bandwidth that a
// replica reaches, and tokens of a text that is not said to be longer or shorter.
constexpr double kArithmeticEfficiency = 0.4;
constexpr double kBandwidthEfficiency = 0.7;
constexpr std::uint32_t kTextTokens = 256;

// What a whole card would do, tokens/s, if only one of the two took time.
struct Rates {
  double compute_tokens_per_s = 0;
  double bandwidth_tokens_per_s = 0;
};

// From the model's shape and the card's data sheet: tens of per cent off, as the efficiencies are.
// `measured_tokens_per_s` of one replica on a whole card, unless 0, replaces the lower of the two,
// and moves the other with it. Error (unsupported) where the card's data sheet is not known here,
// or it cannot compute in the load's dtype.
Result<Rates> rates_of(const ModelFacts& model, const Load& load, const slices::CardModel& card,
                       double measured_tokens_per_s);

}  // namespace sheaf::planner
