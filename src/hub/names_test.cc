#include "hub/names.h"

#include <gtest/gtest.h>

namespace sheaf::hub {
namespace {

TEST(ParseRepoName, TakesWhatTheHubAllows) {
  const auto repo = parse_repo_name("sentence-transformers/all-MiniLM-L6-v2");
  ASSERT_TRUE(repo.ok());
  EXPECT_EQ(repo->owner, "sentence-transformers");
  EXPECT_EQ(repo->name, "all-MiniLM-L6-v2");
  EXPECT_TRUE(parse_repo_name("BAAI/bge-m3.v1_x").ok());
}

TEST(ParseRepoName, RefusesTheRest) {
  for (const char* text : {"", "/", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b..c", "a/.b",
                           "a b/c", "a/b?c", "a/b%2e", "a\\b/c"})
    EXPECT_FALSE(parse_repo_name(text).ok()) << text;
  EXPECT_FALSE(parse_repo_name("a/" + std::string(97, 'x')).ok());
}

TEST(IsSafePath, StaysInsideItsFolder) {
  for (const char* path : {"config.json", "1_Pooling/config.json", "a/b/c", "..a", "a..", "ü/x"})
    EXPECT_TRUE(is_safe_path(path)) << path;
  for (const char* path : {"", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a/.", "./a",
                           "a//b", "a/", "a\\b", "a\nb", "a\x7f"})
    EXPECT_FALSE(is_safe_path(path)) << path;
  EXPECT_FALSE(is_safe_path(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_safe_path(std::string(300, 'a')));
}

TEST(IsSafeFileName, IsOnePart) {
  EXPECT_TRUE(is_safe_file_name("d41d8cd98f00b204"));
  EXPECT_FALSE(is_safe_file_name("a/b"));
  EXPECT_FALSE(is_safe_file_name(".."));
}

TEST(IsCommit, IsFortyLowerHex) {
  EXPECT_TRUE(is_commit(std::string(40, 'a')));
  EXPECT_FALSE(is_commit(std::string(40, 'A')));
  EXPECT_FALSE(is_commit(std::string(39, 'a')));
  EXPECT_FALSE(is_commit("main"));
}

TEST(Quote, KeepsUnreservedOnly) {
  EXPECT_EQ(quote("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(quote("a b\xc3\xbc%"), "a%20b%C3%BC%25");
  EXPECT_EQ(quote_path("1_Pooling/a b.json"), "1_Pooling/a%20b.json");
}

}  // namespace
}  // namespace sheaf::hub
