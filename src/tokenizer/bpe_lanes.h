#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/bpe_merger.h"
#include "tokenizer/merge_table.h"

namespace sheaf::tokenizer {

// Carries out the merges of several short runs of symbols, the runs side by side: each merge waits
// for the one before in its run, a look-up that takes longer than all that is computed, but not for
// those of other runs. No branch depends on what merges. Holds what that needs; one a thread.
class BpeLanes {
 public:
  static constexpr std::size_t kLanes = 2;
  static constexpr std::size_t kSymbolsMax = 32;  // of a run

  // Adds a run of `count` symbols, at most kSymbolsMax. When all lanes are taken, and by flush(),
  // what the runs become is appended to `tokens`, in the order in which they came.
  void add(const BpeSymbol* symbols, std::size_t count, const MergeTable& table,
           std::vector<BpeSymbol>& tokens);
  void flush(const MergeTable& table, std::vector<BpeSymbol>& tokens);

 private:
  // Places 1 to kSymbolsMax are the symbols', with a place on both sides that merges with nothing.
  // Four more are for what a lane does when it has no merge left; nobody reads what comes of it.
  static constexpr std::size_t kPlaces = 64;
  static constexpr std::size_t kIdle = 36;
  static constexpr std::uint64_t kIdlePlaces = std::uint64_t{15} << (kIdle - 1);
  static constexpr std::int32_t kNothing = -1;

  struct Lane {
    std::array<std::int32_t, kPlaces> ids = {};
    std::array<std::uint32_t, kPlaces> ends = {};
    // Of a place with the next live one, as pair_of() in bpe_lanes.cc has it.
    std::array<double, kPlaces> pairs = {};
    std::uint64_t live = 0;  // has a bit for each place that no other has swallowed
    std::size_t count = 0;   // of symbols, at first

    void start(const BpeSymbol* symbols, std::size_t size, const MergeTable& table);
    void look_up(std::size_t left, std::size_t right, const MergeTable& table);
    bool merge_next(const MergeTable& table);
    void append_to(std::vector<BpeSymbol>& tokens) const;
  };

  std::array<Lane, kLanes> lanes_;
  std::size_t taken_ = 0;
};

}  // namespace sheaf::tokenizer
