#include "planner/gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "slices/mig_geometry.h"

namespace sheaf::planner {
namespace {

using Multiset = std::multiset<std::string>;

std::string refused(std::string_view name) {
  const auto gpu = find_gpu(name);
  return gpu.ok() ? "ok" : gpu.error().message;
}

TEST(FindGpu, ByKeyBeginningAndProfile) {
  EXPECT_EQ(find_gpu("h200-141")->name, "h200-141");
  EXPECT_EQ(find_gpu("h200")->card->key, "h200-141");
  EXPECT_EQ(find_gpu("h200")->profile, nullptr);
  const auto slice = find_gpu("a100-40/1g.5gb");
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->name, "a100-40/1g.5gb");
  EXPECT_EQ(slice->memory_bytes, 4864ull << 20);
  EXPECT_TRUE(slice->lacks_fp8());
  EXPECT_EQ(find_gpu("a100-40/19")->name, "a100-40/1g.5gb");
  EXPECT_FALSE(find_gpu("h200")->lacks_fp8());
  EXPECT_TRUE(find_gpu("l4").ok());
}

TEST(FindGpu, SaysWhatThereIs) {
  EXPECT_EQ(refused("a100"), "'a100' may be any of a100-40, a100-80");
  EXPECT_NE(refused("h201-141").find("did you mean h200-141?"), std::string::npos);
  EXPECT_NE(refused("").find("known are a30, "), std::string::npos);
  EXPECT_NE(refused("a100-40/1g.6gb").find("1g.5gb, "), std::string::npos);
  EXPECT_NE(refused("l4/1g.5gb").find("cannot be cut"), std::string::npos);
  EXPECT_NE(refused("h200/"), "ok");
}

TEST(MachineOf, CutsOfA30) {
  const Machine machine = machine_of(*slices::find_card("a30"), 2, 0.9);
  std::set<Multiset> cuts;
  for (const Cut& cut : machine.cuts) {
    Multiset names;
    for (const Part& part : cut) names.insert(part.profile);
    EXPECT_TRUE(cuts.insert(names).second);
  }
  const std::set<Multiset> expected = {{""},
                                       {"4g.24gb"},
                                       {"2g.12gb", "2g.12gb"},
                                       {"2g.12gb", "1g.6gb", "1g.6gb"},
                                       {"1g.6gb", "1g.6gb", "1g.6gb", "1g.6gb"}};
  EXPECT_EQ(cuts, expected);
  EXPECT_EQ(machine.cards, 2u);
}

TEST(MachineOf, WithoutMigACardIsOnePart) {
  const Machine machine = machine_of(*slices::find_card("l4"), 1, 0.9);
  ASSERT_EQ(machine.cuts.size(), 1u);
  EXPECT_EQ(machine.cuts[0].size(), 1u);
}

// Every combination of profiles is tried with the driver's rules; those with room for none more
// are exactly the cuts.
class Combinations {
 public:
  explicit Combinations(const slices::CardModel& card) : card_(card) {
    std::vector<const slices::MigProfile*> chosen;
    add(0, chosen);
  }
  std::set<Multiset> full() const {
    std::set<Multiset> full;
    for (const Multiset& names : valid_)
      if (std::ranges::none_of(card_.profiles, [&](const slices::MigProfile& more) {
            Multiset larger = names;
            larger.insert(std::string(more.name));
            return valid_.contains(larger);
          }))
        full.insert(names);
    return full;
  }

 private:
  void add(std::size_t row, std::vector<const slices::MigProfile*>& chosen) {
    if (!slices::fit_all(slices::MigGeometry(card_), chosen)) return;
    Multiset names;
    for (const slices::MigProfile* profile : chosen) names.emplace(profile->name);
    valid_.insert(names);
    for (std::size_t next = row; next < card_.profiles.size(); ++next) {
      if (card_.profiles[next].name.find('+') != std::string_view::npos) continue;
      chosen.push_back(&card_.profiles[next]);
      add(next, chosen);
      chosen.pop_back();
    }
  }

  const slices::CardModel& card_;
  std::set<Multiset> valid_;
};

TEST(MachineOf, AllCutsThatLeaveNoRoom) {
  for (const slices::CardModel& card : slices::card_models()) {
    if (!card.has_mig()) continue;
    const Machine machine = machine_of(card, 1, 0.9);
    std::set<Multiset> cuts;
    for (const Cut& cut : machine.cuts) {
      Multiset names;
      for (const Part& part : cut) {
        names.insert(part.profile);
        EXPECT_GT(part.compute, 0);
        EXPECT_LE(part.compute, 1);
        EXPECT_LE(part.bandwidth, 1);
      }
      if (names != Multiset{""}) cuts.insert(names);
      // Parts alike stand side by side, as plan.h wants them.
      std::vector<std::string> kinds;
      for (const Part& part : cut)
        if (kinds.empty() || kinds.back() != part.profile) kinds.push_back(part.profile);
      EXPECT_EQ(kinds.size(), std::set<std::string>(kinds.begin(), kinds.end()).size());
    }
    EXPECT_EQ(cuts, Combinations(card).full()) << card.key;
  }
}

}  // namespace
}  // namespace sheaf::planner
