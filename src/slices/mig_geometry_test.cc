#include "slices/mig_geometry.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace sheaf::slices {
namespace {

// An independent model, written from the guide's rules and not from the table's code: a card is a
// set of (profile id, start), and everything is tried.
struct BruteForce {
  struct Rule {
    unsigned id;
    int size, count_max;
    std::set<int> starts;
  };
  int slices;
  std::vector<Rule> rules;

  const Rule& rule(unsigned id) const {
    for (const Rule& one : rules)
      if (one.id == id) return one;
    throw std::logic_error("no such rule");
  }
  bool allows(const std::map<int, unsigned>& placed) const {
    std::vector<int> users(static_cast<std::size_t>(slices), 0);
    std::map<unsigned, int> counts;
    for (const auto& [start, id] : placed) {
      const Rule& one = rule(id);
      if (!one.starts.contains(start) || ++counts[id] > one.count_max) return false;
      for (int slice = start; slice < start + one.size; ++slice)
        if (++users.at(static_cast<std::size_t>(slice)) > 1) return false;
    }
    return true;
  }
  // Each start holds one of the profiles or nothing.
  std::size_t count_all(std::map<int, unsigned>& placed, int start) const {
    if (start == slices) return allows(placed) ? 1 : 0;
    std::size_t found = count_all(placed, start + 1);
    for (const Rule& one : rules) {
      if (!one.starts.contains(start)) continue;
      placed[start] = one.id;
      if (allows(placed)) found += count_all(placed, start + 1);
      placed.erase(start);
    }
    return found;
  }
};

const BruteForce kEight{8,
                        {{19, 1, 7, {0, 1, 2, 3, 4, 5, 6}},
                         {20, 1, 1, {0, 1, 2, 3, 4, 5, 6}},
                         {15, 2, 4, {0, 2, 4, 6}},
                         {14, 2, 3, {0, 2, 4}},
                         {9, 4, 2, {0, 4}},
                         {5, 4, 1, {0}},
                         {0, 8, 1, {0}}}};
const BruteForce kA30{4,
                      {{14, 1, 4, {0, 1, 2, 3}},
                       {21, 1, 1, {0, 1, 2, 3}},
                       {5, 2, 2, {0, 2}},
                       {6, 2, 1, {0, 2}},
                       {0, 4, 1, {0}}}};
const BruteForce& judge_of(const CardModel& card) {
  return card.memory_slices == 4 ? kA30 : kEight;
}

const MigProfile& profile_of(const CardModel& card, std::string_view name) {
  return *find_profile(card, name);
}

TEST(MigGeometry, EveryGeometryIsFoundOnceAndIsAllowed) {
  for (const CardModel& card : card_models()) {
    if (!card.has_mig()) continue;
    const auto found = all_geometries(card);
    std::map<int, unsigned> scratch;
    EXPECT_EQ(found.size(), judge_of(card).count_all(scratch, 0)) << card.key;
    std::set<std::map<int, unsigned>> seen;
    for (const MigGeometry& geometry : found) {
      std::map<int, unsigned> placed;
      for (const PlacedInstance& one : geometry.instances()) placed[one.start] = one.profile->id;
      EXPECT_TRUE(judge_of(card).allows(placed)) << geometry.picture();
      EXPECT_TRUE(seen.insert(placed).second) << geometry.picture();
    }
  }
}

TEST(MigGeometry, RandomChangesAgreeWithBruteForce) {
  std::mt19937 random(7);
  for (const CardModel& card : card_models()) {
    if (!card.has_mig()) continue;
    const BruteForce& judge = judge_of(card);
    MigGeometry geometry(card);
    std::map<int, unsigned> placed;
    for (int step = 0; step < 3000; ++step) {
      const int start = static_cast<int>(random() % 9) - 1;
      if (random() % 3 == 0) {
        EXPECT_EQ(geometry.remove(start), placed.erase(start) > 0);
        continue;
      }
      const MigProfile& profile = card.profiles[random() % card.profiles.size()];
      std::map<int, unsigned> wanted = placed;
      const bool legal = wanted.emplace(start, profile.id).second && start >= 0 &&
                         judge.rule(profile.id).starts.contains(start) && judge.allows(wanted);
      EXPECT_EQ(geometry.can_place(profile, start), legal);
      EXPECT_EQ(geometry.place(profile, start).ok(), legal);
      if (legal) placed = wanted;
    }
  }
}

TEST(MigGeometry, FillsUpToTheMostOfEachProfile) {
  for (const CardModel& card : card_models()) {
    for (const MigProfile& profile : card.profiles) {
      MigGeometry geometry(card);
      for (int left = profile.count_max; left > 0; --left) {
        EXPECT_EQ(geometry.remaining_capacity(profile), left) << card.key << " " << profile.name;
        const auto start = geometry.first_fit(profile);
        ASSERT_TRUE(start) << card.key << " " << profile.name;
        EXPECT_TRUE(geometry.place(profile, *start).ok());
      }
      EXPECT_EQ(geometry.remaining_capacity(profile), 0);
      EXPECT_FALSE(geometry.first_fit(profile));
    }
  }
}

// The guide's examples: where the driver puts the first of each, and an order that does not fit.
TEST(MigGeometry, FirstFitIsTheDrivers) {
  const CardModel& card = *find_card("a100-40");
  const MigGeometry empty(card);
  EXPECT_EQ(empty.first_fit(profile_of(card, "1g.5gb")), 6);
  EXPECT_EQ(empty.first_fit(profile_of(card, "2g.10gb")), 4);
  EXPECT_EQ(empty.first_fit(profile_of(card, "3g.20gb")), 4);
  EXPECT_EQ(empty.first_fit(profile_of(card, "4g.20gb")), 0);

  MigGeometry geometry(card);
  for (const char* name : {"1g.5gb", "1g.5gb", "2g.10gb"}) {
    const MigProfile& profile = profile_of(card, name);
    ASSERT_TRUE(geometry.place(profile, *geometry.first_fit(profile)).ok());
  }
  EXPECT_FALSE(geometry.first_fit(profile_of(card, "3g.20gb"))) << geometry.picture();
}

TEST(FitAll, FindsWhatTheOrderWouldHide) {
  const CardModel& card = *find_card("a100-40");
  const std::vector<const MigProfile*> wanted = {
      &profile_of(card, "1g.5gb"), &profile_of(card, "1g.5gb"), &profile_of(card, "2g.10gb"),
      &profile_of(card, "3g.20gb")};
  const auto starts = fit_all(MigGeometry(card), wanted);
  ASSERT_TRUE(starts);
  MigGeometry geometry(card);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    EXPECT_TRUE(geometry.place(*wanted[i], (*starts)[i]).ok()) << geometry.picture();
  EXPECT_FALSE(fit_all(geometry, {&profile_of(card, "3g.20gb")}));
}

TEST(MigGeometry, RefusalsDrawThePicture) {
  const CardModel& card = *find_card("a100-40");
  MigGeometry geometry(card);
  ASSERT_TRUE(geometry.place(profile_of(card, "3g.20gb"), 4).ok());
  ASSERT_TRUE(geometry.place(profile_of(card, "1g.5gb+me"), 1).ok());
  const std::string picture =
      "slice  0        1        2        3        4        5        6        7\n"
      "       free    [1g+me  ] free     free    [3g.20gb                           ]\n";
  EXPECT_EQ(geometry.picture(), picture);
  EXPECT_EQ(geometry.place(profile_of(card, "2g.10gb"), 0).error().message,
            "2g.10gb at memory slice 0 finds its place taken\n" + picture);
  EXPECT_EQ(geometry.place(profile_of(card, "2g.10gb"), 1).error().message,
            "2g.10gb at memory slice 1 may start at 0, 2, 4 only\n" + picture);
  EXPECT_EQ(geometry.place(profile_of(card, "1g.5gb+me"), 0).error().message,
            "1g.5gb+me at memory slice 0 is one more than the 1 that a card holds\n" + picture);
}

}  // namespace
}  // namespace sheaf::slices
