#include "slices/mig_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace sheaf::slices {
namespace {

// go-nvlib's rule of the figure in a profile's name: its share of the card rounded up to eighths,
// times the card's memory in whole GiB, rounded.
int gigabytes_in_name(const CardModel& card, const MigProfile& profile) {
  const double share =
      static_cast<double>(profile.memory_mib) / static_cast<double>(card.memory_mib);
  const double eighths = std::ceil(share * 8) / 8;
  const double gib = std::ceil(static_cast<double>(card.memory_mib) / 1024);
  return static_cast<int>(std::lround(eighths * gib));
}

TEST(MigTable, NamesFollowFromFigures) {
  for (const CardModel& card : card_models()) {
    for (const MigProfile& profile : card.profiles) {
      const std::string name(profile.name);
      EXPECT_EQ(name.substr(0, name.find('g')), std::to_string(profile.compute_slices)) << name;
      const int said = std::stoi(name.substr(name.find('.') + 1));
      EXPECT_LE(std::abs(said - gigabytes_in_name(card, profile)), 1) << card.key << " " << name;
    }
  }
}

TEST(MigTable, IdsAndNamesAreUniqueOnACard) {
  std::set<std::string_view> keys;
  std::set<std::uint32_t> pci_ids;
  for (const CardModel& card : card_models()) {
    EXPECT_TRUE(keys.insert(card.key).second) << card.key;
    for (const std::uint32_t id : card.pci_ids) {
      EXPECT_TRUE(pci_ids.insert(id).second) << card.key;
      EXPECT_EQ(find_card_by_pci_id(id), &card);
    }
    EXPECT_EQ(find_card(card.key), &card);
    EXPECT_EQ(card.has_mig(), !card.profiles.empty());
    std::set<unsigned> ids, indexes;
    for (const MigProfile& profile : card.profiles) {
      EXPECT_TRUE(ids.insert(profile.id).second) << card.key << " " << profile.name;
      EXPECT_TRUE(indexes.insert(profile.index).second) << card.key << " " << profile.name;
      EXPECT_EQ(find_profile(card, profile.name), &profile);
      EXPECT_EQ(find_profile_by_id(card, profile.id), &profile);
    }
  }
}

TEST(MigTable, WholeCardIsTheLastProfile) {
  for (const CardModel& card : card_models()) {
    if (!card.has_mig()) continue;
    const MigProfile& whole = card.profiles.back();
    EXPECT_EQ(whole.memory_slices, card.memory_slices) << card.key;
    EXPECT_EQ(whole.compute_slices, card.compute_slices) << card.key;
    EXPECT_LE(whole.memory_mib, card.memory_mib) << card.key;
    EXPECT_LE(whole.multiprocessors, card.multiprocessors) << card.key;
  }
}

TEST(MigTable, SaysHowFarItIsToBeTrusted) {
  EXPECT_EQ(find_profile(*find_card("a100-40"), "3g.20gb")->memory_certainty,
            Certainty::documented);
  EXPECT_EQ(find_profile(*find_card("h200-141"), "4g.71gb")->multiprocessors_certainty,
            Certainty::unknown);
  EXPECT_EQ(find_profile(*find_card("b200-180"), "2g.45gb")->placement_certainty,
            Certainty::inferred);
  EXPECT_EQ(name_of(Certainty::inferred), "inferred");
}

TEST(MigTable, ProfilesAreNamedInSeveralWays) {
  const CardModel& card = *find_card("a100-40");
  EXPECT_EQ((*profile_named(card, "1g.5gb+me"))->id, 20u);
  EXPECT_EQ((*profile_named(card, "1g.5gb.me"))->id, 20u);
  EXPECT_EQ((*profile_named(card, "9"))->name, "3g.20gb");
  EXPECT_EQ((*profile_named(*find_card("a30"), "14"))->name, "1g.6gb");
}

TEST(MigTable, AnUnknownProfileNamesThoseThereAre) {
  const auto wrong = profile_named(*find_card("a100-40"), "1g.6gb");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().message,
            "NVIDIA A100-SXM4-40GB has no MIG profile 1g.6gb; it has 1g.5gb, 1g.5gb+me, 1g.10gb, "
            "2g.10gb, 3g.20gb, 4g.20gb, 7g.40gb");
  const auto none = profile_named(*find_card("l4"), "1g.6gb");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message, "NVIDIA L4 cannot be cut by MIG");
}

TEST(ComputeProfiles, SplitAnInstance) {
  const CardModel& card = *find_card("a100-40");
  const auto of_three = compute_profiles(*find_profile(card, "3g.20gb"));
  ASSERT_EQ(of_three.size(), 3u);
  EXPECT_EQ(of_three[0].name, "1c.3g.20gb");
  EXPECT_EQ(of_three[0].count_max, 3);
  EXPECT_EQ(of_three[0].multiprocessors, 14);
  EXPECT_EQ(of_three[1].starts, std::vector<int>({0}));
  EXPECT_EQ(of_three[2].name, "3g.20gb");
  EXPECT_EQ(of_three[2].id, 2u);
  const auto of_seven = compute_profiles(*find_profile(card, "7g.40gb"));
  ASSERT_EQ(of_seven.size(), 5u);
  EXPECT_EQ(of_seven[2].starts, std::vector<int>({0, 4}));
  EXPECT_EQ(of_seven[4].id, 4u);
}

}  // namespace
}  // namespace sheaf::slices
