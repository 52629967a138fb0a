#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/card_state.h"

// From what a user asks of a card to the state that it shall have. Pure: no card is touched.
namespace sheaf::slices {

// Words of a user:
//   1g.5gb  1g.5gb+me  1g.5gb.me  19   a profile by name or id; its compute instance takes all of
//   it 3g.20gb@4                          at this memory slice 1c.3g.20gb                         a
//   compute instance; neighbouring words of one GPU instance's
//                                      profile share it while they fit
//   3*1g.5gb                           three times
//   7 equal                            (two words) the largest profile that fits seven times
struct InstanceWish {
  const MigProfile* profile = nullptr;
  std::optional<int> start;
  std::vector<ComputeState> compute;  // by start
};
// Errors name the word and the profiles there are.
Result<std::vector<InstanceWish>> parse_wishes(const CardModel& model,
                                               const std::vector<std::string>& words);

// Adds instances to what is there. Error unavailable where they find no place: it draws the picture
// and says which idle instances would have to move, if that helps. With `repartition` those move.
Result<CardState> with_created(const Gpu& gpu, const CardState& before,
                               const std::vector<std::string>& words, bool repartition);

// Takes instances away: "all", a GPU instance's id ("5") or name ("mig:0/5"), PROFILE@START, or a
// MIG UUID, which takes that compute instance and, if it was the last, its GPU instance.
Result<CardState> with_destroyed(const Gpu& gpu, const CardState& before,
                                 const std::vector<std::string>& words);

// Exactly these instances, keeping in place whatever is there already and wanted too, if the rest
// then fits.
Result<CardState> with_exactly(const Gpu& gpu, const CardState& before,
                               const std::vector<std::string>& words);

// How the card differs from the wish, one sentence each; none: it does not. Places count only where
// the wish names them.
Result<std::vector<std::string>> differences(const Gpu& gpu, bool mig,
                                             const std::vector<std::string>& words);

// The words that would make this state: "3g.20gb@4", "1c.2g.10gb@0".
std::vector<std::string> words_of(const CardModel& model, const CardState& state);

}  // namespace sheaf::slices
