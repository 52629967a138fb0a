#include "hub/modelscope_listing.h"

#include <gtest/gtest.h>

namespace sheaf::hub {
namespace {

TEST(ParseModelScopeListing, KeepsFilesAndLeavesOutTheRest) {
  const std::string sha(64, 'a');
  const auto listing = parse_modelscope_listing(
      R"({"Data": {"Files": [
        {"Type": "tree", "Path": "1_Pooling", "Size": 0},
        {"Type": "blob", "Path": "1_Pooling/config.json", "Size": 7, "Sha256": ")" +
          sha + R"("},
        {"Path": "no_type", "Size": 1, "Sha256": "short"},
        {"Path": "../evil", "Size": 1}, {"Path": "/etc/passwd", "Size": 1}, {"Path": "a\u0000b", "Size": 1},
        {"Path": "negative", "Size": -1}, {"Path": "no_size"}, {"Path": 5, "Size": 1}, {"Type": 3}, null, 7, []]}})",
      "org/name");
  ASSERT_TRUE(listing.ok());
  ASSERT_EQ(listing->size(), 2u);
  EXPECT_EQ(listing->at("1_Pooling/config.json").bytes, 7u);
  EXPECT_EQ(listing->at("1_Pooling/config.json").sha256, sha);
  EXPECT_EQ(listing->at("no_type").sha256, "");
}

TEST(ParseModelScopeListing, RefusesWhatIsNoListing) {
  for (const char* body :
       {"", "{", "[]", "{}", "null", R"({"Data": []})", R"({"Data": {"Files": {}}})"}) {
    const auto listing = parse_modelscope_listing(body, "org/name");
    ASSERT_FALSE(listing.ok()) << body;
    EXPECT_NE(listing.error().message.find("org/name"), std::string::npos);
  }
}

}  // namespace
}  // namespace sheaf::hub
