#include "core/suspects.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace sheaf::core {
namespace {

std::vector<QueuedItem> items(const std::vector<std::uint32_t>& tokens) {
  std::vector<QueuedItem> made;
  for (std::uint32_t i = 0; i < tokens.size(); ++i) made.push_back({{1, i}, tokens[i]});
  return made;
}

TEST(Suspects, HalvesByTokensAndKeepsEveryItem) {
  struct Case {
    std::vector<std::uint32_t> tokens;
    std::vector<std::size_t> sizes;  // of the groups
  };
  for (const Case& c :
       {Case{{10, 10, 10, 10}, {2, 2}}, Case{{100, 10, 10, 10}, {1, 3}},
        Case{{10, 10, 10, 100}, {3, 1}}, Case{{10, 10}, {1, 1}}, Case{{10}, {1}}, Case{{}, {}}}) {
    Suspects suspects;
    suspects.add_halves(items(c.tokens));
    std::uint32_t next = 0;
    for (const std::size_t size : c.sizes) {
      ASSERT_FALSE(suspects.empty());
      const Suspects::Group group = suspects.take();
      ASSERT_EQ(group.items.size(), size);
      for (const QueuedItem& item : group.items) EXPECT_EQ(item.ref.index, next++);
    }
    EXPECT_EQ(next, c.tokens.size());
    EXPECT_TRUE(suspects.empty());
  }
}

TEST(Suspects, DropsWhatNobodyWaitsFor) {
  Suspects suspects;
  suspects.add({{{{1, 0}, 5}}, {}});
  suspects.add({{{{2, 0}, 5}, {{1, 1}, 5}}, 3});
  suspects.drop_front_if([](const QueuedItem& item) { return item.ref.request == 1; });
  ASSERT_FALSE(suspects.empty());
  EXPECT_EQ(suspects.front().items.size(), 1U);
  EXPECT_EQ(suspects.front().items[0].ref, (ItemRef{2, 0}));
  EXPECT_EQ(suspects.front().avoid, 3U);
  suspects.drop_front_if([](const QueuedItem&) { return true; });
  EXPECT_TRUE(suspects.empty());
}

}  // namespace
}  // namespace sheaf::core
