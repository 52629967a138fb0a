#pragma once

#include <optional>
#include <string>
#include <vector>

#include "slices/mig_table.h"

// Which GPU instances stand where on one card, and what still fits. Pure: no card is touched.
namespace sheaf::slices {

// A GPU instance in its place; starts and sizes are counted in memory slices.
struct PlacedInstance {
  const MigProfile* profile = nullptr;  // a row of the card's table
  int start = 0;

  int end() const { return start + profile->memory_slices; }
  friend bool operator==(const PlacedInstance&, const PlacedInstance&) = default;
};

// The rules: no two instances share a memory slice, a profile is there at most count_max times, and
// starts only where its table lets it.
class MigGeometry {
 public:
  explicit MigGeometry(const CardModel& card) : card_(&card) {}  // a row of card_models(): empty

  const CardModel& card() const { return *card_; }
  const std::vector<PlacedInstance>& instances() const { return instances_; }  // by start
  int count(const MigProfile& profile) const;

  bool can_place(const MigProfile& profile, int start) const;
  std::vector<int> free_starts(const MigProfile& profile) const;  // ascending
  // How many more of this profile fit, were nothing else to come.
  int remaining_capacity(const MigProfile& profile) const;
  // Where the driver would put it when it may choose: where the fewest places of all profiles
  // together are lost, the last of equal ones.
  std::optional<int> first_fit(const MigProfile& profile) const;

  // Error (invalid_argument): the start is not legal, the place is taken, there are too many of the
  // profile. Its message ends with the picture; nothing has changed then.
  Status place(const MigProfile& profile, int start);
  // False if no instance starts there.
  bool remove(int start);

  // Two lines for people, of less than 80 columns:
  //   slice  0        1        2        3        4        …
  //         [2g.10gb         ][1g.5gb ] free     free     …
  std::string picture() const;

  friend bool operator==(const MigGeometry&, const MigGeometry&) = default;

 private:
  const CardModel* card_;
  std::vector<PlacedInstance> instances_;
};

// Every geometry that the rules allow, the empty one among them, each once: 2,319 on a card of
// eight slices, in milliseconds.
std::vector<MigGeometry> all_geometries(const CardModel& card);

// Places for these profiles, in their order, beside what already stands; every combination of legal
// starts is tried before it gives up. nullopt: they do not fit together.
std::optional<std::vector<int>> fit_all(const MigGeometry& geometry,
                                        const std::vector<const MigProfile*>& wanted);

}  // namespace sheaf::slices
