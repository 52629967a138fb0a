#include "hub/http.h"

#include <gtest/gtest.h>

namespace sheaf::hub {
namespace {

// The token follows the origin: scheme, host and port together.
TEST(OriginOf, TellsSchemeHostAndPortApart) {
  EXPECT_EQ(origin_of("https://huggingface.co/a/b?c"), "https://huggingface.co:443");
  EXPECT_EQ(origin_of("https://HuggingFace.co:443"), origin_of("https://huggingface.co"));
  EXPECT_NE(origin_of("http://huggingface.co"), origin_of("https://huggingface.co"));
  EXPECT_NE(origin_of("https://huggingface.co:8443"), origin_of("https://huggingface.co"));
  EXPECT_NE(origin_of("https://huggingface.co.evil.org"), origin_of("https://huggingface.co"));
  EXPECT_EQ(origin_of("https://huggingface.co@evil.org/"), "https://evil.org:443");
  for (const char* text : {"", "file:///etc/passwd", "ftp://x/y", "/path", "https://"})
    EXPECT_EQ(origin_of(text), "") << text;
}

TEST(IsRelativeLocation, KnowsWhatLeavesTheHost) {
  for (const char* text : {"/org/name", "name", "?a=b", "/a?u=http://x"})
    EXPECT_TRUE(is_relative_location(text)) << text;
  for (const char* text : {"https://cdn/x", "//cdn/x", "HTTP://x"})
    EXPECT_FALSE(is_relative_location(text)) << text;
}

TEST(ResolveUrl, StaysWithHttp) {
  EXPECT_EQ(resolve_url("https://h/a/b", "/c").value(), "https://h/c");
  EXPECT_EQ(resolve_url("https://h/a/b", "c").value(), "https://h/a/c");
  EXPECT_EQ(resolve_url("https://h/a", "//cdn/x").value(), "https://cdn/x");
  EXPECT_FALSE(resolve_url("https://h/a", "file:///etc/passwd").ok());
}

}  // namespace
}  // namespace sheaf::hub
