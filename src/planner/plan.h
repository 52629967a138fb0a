#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Which slices a machine's cards should be cut into, and which models should run there. A pure
// function of plain values: the same question gets the same answer, and nothing is touched.
namespace sheaf::planner {

// What a model must not share: nothing, memory that another could take, or a slice at all.
enum class Isolation { none, memory, full };
std::string_view name_of(Isolation isolation);

// A model to be placed, as far as placing goes by it.
struct Demand {
  std::string name;
  std::uint64_t weights_bytes = 0;    // in every slice where it has a replica
  std::uint64_t replica_bytes = 0;    // of that one replica, on top
  std::uint64_t workspace_bytes = 0;  // of these: what is assumed, and printed
  // What a whole card would do if only its arithmetic, or only its memory's traffic, took time. The
  // lower is the model's rate there; above 0.
  double compute_tokens_per_s = 0;
  double bandwidth_tokens_per_s = 0;
  double wanted_tokens_per_s = 0;  // 0: it must run, however slowly
  double p99_ms = 0;               // wanted at most; 0: does not matter
  std::uint32_t batch_tokens = 0;  // 0: what takes kBatchMs, but a whole text
  std::uint32_t text_tokens = 0;   // of the longest text
  Isolation isolation = Isolation::none;
};

// A slice that a card can be cut into, or all of it. Shares are of the whole card.
struct Part {
  std::string profile;  // "3g.40gb"; empty: the card, not cut
  std::uint64_t memory_bytes = 0;
  double compute = 1;
  double bandwidth = 1;
};
// One way to cut a card. Parts alike stand side by side.
using Cut = std::vector<Part>;

struct Machine {
  std::string card;       // "h200"
  std::vector<Cut> cuts;  // all that a card can have, as far as none is part of another; not empty
  std::uint32_t cards = 1;
  double memory_utilization = 0.9;  // share of a slice's memory that may be used
};

// Taken for granted, and printed by whoever prints a plan.
constexpr double kBatchMs = 10;         // of a batch whose tokens are not set
constexpr double kSharedLimit = 0.9;    // of a slice's rate: what several models get of it together
constexpr double kPunctualLimit = 0.8;  // of its rate, where one has a p99: more makes queues
// Together at most this load: taking turns costs them nothing that a daemon would be worth.
constexpr double kRareLoad = 0.1;
// Models of one slice: MPS serves 48 processes on a card (of CUDA 13.0), on a seventh 6.
constexpr std::size_t kSharersMax = 6;

enum class Sharing { alone, mps, time };
std::string_view name_of(Sharing sharing);

// How good a plan is. First comes what is asked for: every model runs, every target is met, and as
// little as possible is missing where not; then fewest cards; then most headroom for growth of the
// target nearest its limit; then fewest slices; then most free memory in the fullest slice. Whole
// numbers, so that equal plans are equal.
struct Score {
  std::int64_t unserved = 0;     // models without a replica
  std::int64_t unmet = 0;        // with one, but slower than wanted
  std::int64_t missing_ppm = 0;  // of wanted rates, summed over models
  std::int64_t cards = 0;
  std::int64_t tightness_ppm = 0;  // largest wanted / expected rate
  std::int64_t slices = 0;
  std::int64_t fullness_ppm = 0;  // largest used / usable memory

  std::array<std::int64_t, 7> in_order() const {
    return {unserved, unmet, missing_ppm, cards, tightness_ppm, slices, fullness_ppm};
  }
  bool operator==(const Score&) const = default;
  bool operator<(const Score& other) const { return in_order() < other.in_order(); }  // is better
};

struct PlannedSlice {
  std::uint32_t card = 0;
  Part part;
  std::uint64_t usable_bytes = 0;
  std::uint64_t used_bytes = 0;
  double compute_load = 0;  // share of the slice's arithmetic, and of its traffic, at wanted rates
  double bandwidth_load = 0;
  std::vector<std::size_t> models;  // one replica of each; indexes of demands, ascending
  Sharing sharing = Sharing::alone;
  std::string reason;
};

struct PlannedModel {
  std::uint32_t replicas = 0;
  // Of all replicas; where models share a slice, what remains if all of them grow alike.
  double tokens_per_s = 0;
  double p99_ms = 0;  // estimated: a batch under way, then its own, of everyone in the slice
  bool met = false;
  std::string reason;
};

struct Plan {
  std::vector<PlannedSlice> slices;  // used ones; by card, then as the card is cut
  std::vector<PlannedModel> models;  // as the demands stand
  std::vector<std::size_t> cuts;     // of each card that is used: index into Machine::cuts
  Score score;
  bool exact = false;  // no plan of the kind described below scores better
};

// In a plan a model has any number of slices to itself, and on each card at most one that it shares
// with others. On one card every cut and every such assignment is searched, up to a number of steps
// that problems of six models stay below; beyond it the best found is given, not `exact`. Over
// several cards models are packed one after the other, the heaviest first, each where it raises the
// card's load least: a load of arithmetic goes beside one of memory traffic. A model that one card
// cannot carry is cut into pieces. Takes milliseconds a card and model, at most about a second.
Plan make_plan(const Machine& machine, std::span<const Demand> demands);

}  // namespace sheaf::planner
