#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "slices/card_state.h"
#include "slices/mig_journal.h"
#include "slices/nvml.h"

// Brings cards from one state to another, or leaves them as they were.
namespace sheaf::slices {

struct CardChange {
  CardState before, after;
};

struct ChangeReport {
  std::vector<std::string> steps;  // that were done: "GPU 0: create 3g.20gb at memory slice 4"
  // What is still owed: "GPU 0: MIG will be on after a reset: …".
  std::vector<std::string> owed;
};

// Error unavailable: an instance that would go, or a card whose mode would change, runs something;
// lists the processes. Nothing is touched by asking.
Status refuse_busy(const Gpu& gpu, const CardChange& change);

// UUIDs of what the change takes away: the card where its mode changes, else MIG devices.
std::vector<std::string> taken_away(const Gpu& gpu, const CardChange& change);

// Carries all changes out, each step in the journal before it is made. When one fails the cards are
// put back as they were, the last change first, and the error says both: what failed, and whether
// putting back did.
//
// A mode that NVML stores but cannot switch at once is owed, if nothing else is asked of the card;
// otherwise it is a failure.
Result<ChangeReport> change_cards(const Nvml& nvml, MigJournal& journal, const std::string& what,
                                  const std::vector<CardChange>& changes);

// Puts the cards back as they were before a change that was cut off by its process's death. Nothing
// if there is none; else a sentence on what was undone. While it fails no change can begin.
Result<std::optional<std::string>> undo_unfinished(const Nvml& nvml, MigJournal& journal);

}  // namespace sheaf::slices
