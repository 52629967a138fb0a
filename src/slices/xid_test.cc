#include "slices/xid.h"

#include <gtest/gtest.h>

#include <iterator>
#include <set>

namespace sheaf::slices {
namespace {

using enum XidReaction;

XidEvent xid_event(unsigned xid, TimeUs at_us, unsigned gpu = 0) {
  return {.xid = xid, .gpu = gpu, .at_us = at_us};
}

// The reaction to one event of a card of which nothing was heard before.
XidReaction alone(const XidEvent& event) {
  XidReactions reactions;
  return reactions.on_event(event)->reaction;
}

TEST(XidTable, HasEachNumberOnceInOrder) {
  unsigned last = 0;
  for (const XidRow& row : xid_rows()) {
    EXPECT_GT(row.number, last);
    last = row.number;
    EXPECT_FALSE(row.name.empty()) << row.number;
  }
  EXPECT_GE(xid_rows().size(), 25u);
}

TEST(XidTable, SaysWhatNvidiasCatalogSays) {
  for (const unsigned application : {8, 13, 31, 32, 68, 69, 94})
    EXPECT_EQ(xid_row(application).reaction, restart_replica) << application;
  for (const unsigned reset : {46, 48, 62, 74, 95, 109, 110, 119, 120, 140, 143, 155, 156, 158})
    EXPECT_EQ(xid_row(reset).reaction, drain_card) << reset;
  for (const unsigned lost : {64, 79}) EXPECT_EQ(xid_row(lost).reaction, quarantine_card) << lost;
  for (const unsigned ignored : {43, 44, 45, 63, 92})
    EXPECT_EQ(xid_row(ignored).reaction, alert) << ignored;
}

TEST(XidTable, UnknownNumbersAreSaidAndNoMore) {
  EXPECT_EQ(xid_row(999).reaction, alert);
  EXPECT_EQ(xid_row(999).name, "unknown");
  EXPECT_EQ(xid_row(0).reaction, alert);
}

TEST(XidTable, TheCardItselfDecidesAbout154) {
  const auto with = [](std::optional<unsigned> action) {
    XidEvent event = xid_event(154, 0);
    event.recovery_action = action;
    return alone(event);
  };
  EXPECT_EQ(with(std::nullopt), alert);
  EXPECT_EQ(with(0), alert);
  EXPECT_EQ(with(1), drain_card);
  EXPECT_EQ(with(2), quarantine_card);
  EXPECT_EQ(with(3), drain_card);
  EXPECT_EQ(with(4), drain_card);
  EXPECT_EQ(with(5), alert);
  EXPECT_EQ(with(77), alert);
}

TEST(XidReactionsTest, ABurstIsAnsweredOnce) {
  XidReactions reactions;
  EXPECT_EQ(reactions.on_event(xid_event(31, 0))->reaction, restart_replica);
  for (TimeUs at = 1; at <= 30; ++at)
    EXPECT_FALSE(reactions.on_event(xid_event(at % 2 ? 31 : 13, at * kSecond)));
  // Ten quiet seconds later it is another one, which tells of those before.
  const auto next = reactions.on_event(xid_event(13, 40 * kSecond));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->unsaid, 30u);
  EXPECT_EQ(describe(*next),
            "Xid 13 (graphics engine exception) on GPU 0: what ran there is to be restarted; 30 "
            "more like it came before");
}

TEST(XidReactionsTest, InstancesAreRestartedEachForItself) {
  XidReactions reactions;
  XidEvent event = xid_event(94, 0);
  event.gpu_instance = 3;
  EXPECT_EQ(describe(*reactions.on_event(event)),
            "Xid 94 (contained memory error) on GPU 0, GPU instance 3: what ran there is to be "
            "restarted");
  event.gpu_instance = 5;
  EXPECT_TRUE(reactions.on_event(event));
  EXPECT_FALSE(reactions.on_event(event));
  event.compute_instance = 1;
  EXPECT_TRUE(reactions.on_event(event));
  EXPECT_TRUE(reactions.on_event(xid_event(94, 0)));     // the whole card
  EXPECT_TRUE(reactions.on_event(xid_event(94, 0, 1)));  // another one
}

TEST(XidReactionsTest, ADrainedCardIsDrainedOnceAndNotRestarted) {
  XidReactions reactions;
  EXPECT_EQ(reactions.on_event(xid_event(48, 0))->reaction, drain_card);
  EXPECT_FALSE(reactions.on_event(xid_event(95, 60 * kSecond)));
  EXPECT_FALSE(reactions.on_event(xid_event(31, 61 * kSecond)));
  EXPECT_EQ(reactions.on_event(xid_event(43, 62 * kSecond))->reaction, alert);  // still said
  EXPECT_EQ(reactions.on_event(xid_event(31, 63 * kSecond, 1))->reaction, restart_replica);
  EXPECT_EQ(reactions.out_of_use(xid_event(48, 0).gpu), "drained after Xid 48");
  // Worse is worse; better is not.
  EXPECT_EQ(reactions.on_event(xid_event(79, 64 * kSecond))->reaction, quarantine_card);
  EXPECT_EQ(reactions.out_of_use(xid_event(79, 0).gpu), "in quarantine after Xid 79");
  EXPECT_EQ(reactions.out_of_use(7), "");
  EXPECT_FALSE(reactions.on_event(xid_event(48, 600 * kSecond)));
  EXPECT_FALSE(reactions.on_event(xid_event(79, 700 * kSecond)));
}

TEST(XidReactionsTest, AfterAResetTheCardIsWell) {
  XidReactions reactions;
  EXPECT_TRUE(reactions.on_event(xid_event(48, 0)));
  EXPECT_TRUE(reactions.on_event(xid_event(48, 0, 1)));
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 0})) << "it never asked for a reset";
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 1}));
  EXPECT_FALSE(reactions.on_reading(0, {})) << "it does not tell";
  EXPECT_TRUE(reactions.on_reading(0, {.recovery_action = 0}));
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 0})) << "said once";
  EXPECT_EQ(reactions.on_event(xid_event(48, 1))->reaction, drain_card);
  EXPECT_FALSE(reactions.on_event(xid_event(48, 1, 1)));
}

TEST(XidReactionsTest, ACardThatAskedWithItsXidIsWellWhenItAsksNoMore) {
  XidReactions reactions;
  XidEvent event = xid_event(154, 0);
  event.recovery_action = 4;
  EXPECT_EQ(reactions.on_event(event)->reaction, drain_card);
  EXPECT_TRUE(reactions.on_reading(0, {.recovery_action = 5})) << "which is not the card's matter";
}

TEST(XidReactionsTest, ACardThatVanishedAndIsBackWasReset) {
  XidReactions reactions;
  EXPECT_TRUE(reactions.on_event(xid_event(48, 0)));
  EXPECT_FALSE(reactions.on_reading(0, {}));
  EXPECT_FALSE(reactions.on_reading(0, {.lost = true}));
  EXPECT_FALSE(reactions.on_reading(1, {}));
  EXPECT_TRUE(reactions.on_reading(0, {})) << "a driver that never tells what it asks for";
  EXPECT_TRUE(reactions.on_event(xid_event(48, 1)));
  EXPECT_FALSE(reactions.on_reading(0, {.lost = true}));
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 1})) << "it asks still";
  EXPECT_TRUE(reactions.on_reading(0, {.recovery_action = 0}));
}

TEST(XidReactionsTest, QuarantineLasts) {
  XidReactions reactions;
  EXPECT_TRUE(reactions.on_event(xid_event(48, 0)));
  EXPECT_TRUE(reactions.on_event(xid_event(79, 1)));
  EXPECT_FALSE(reactions.on_reading(0, {.lost = true}));
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 1}));
  EXPECT_FALSE(reactions.on_reading(0, {.recovery_action = 0}));
}

TEST(XidReactionsTest, EachNumberIsAlertedByItself) {
  XidReactions reactions;
  EXPECT_TRUE(reactions.on_event(xid_event(43, 0)));
  EXPECT_TRUE(reactions.on_event(xid_event(45, 0)));
  EXPECT_FALSE(reactions.on_event(xid_event(43, 5)));
  EXPECT_TRUE(reactions.on_event(xid_event(777, 5)));
}

TEST(XidReactionsTest, NamesAreTheEnumsOwn) {
  std::set<std::string_view> names;
  for (const auto reaction : {alert, restart_replica, drain_card, quarantine_card})
    names.insert(name_of(reaction));
  EXPECT_EQ(names,
            std::set<std::string_view>(std::begin(kXidReactionNames), std::end(kXidReactionNames)));
}

}  // namespace
}  // namespace sheaf::slices
