#include "base/text.h"

#include <gtest/gtest.h>

namespace sheaf {
namespace {

TEST(JsonQuote, EscapesWhatJsonDemands) {
  EXPECT_EQ(json_quote("a\"b\\c\n\t\x01"), "\"a\\\"b\\\\c\\n\\t\\u0001\"");
  EXPECT_EQ(json_quote("grüße 漢字 😀"), "\"grüße 漢字 😀\"");
}

TEST(JsonQuote, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(json_quote("a\xFF"
                       "b"),
            "\"a\xEF\xBF\xBD"
            "b\"");
  EXPECT_EQ(json_quote("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(NearestWord, FindsTyposAndNothingFarOff) {
  constexpr std::string_view kWords[] = {"port", "grpc-port", "num-replicas"};
  EXPECT_EQ(nearest_word("prot", kWords), "port");
  EXPECT_EQ(nearest_word("num-replica", kWords), "num-replicas");
  EXPECT_EQ(nearest_word("temperature", kWords), "");
}

TEST(HumanBytes, PicksTheUnit) {
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(90.0 * 1024 * 1024), "90.0 MiB");
}

TEST(ExcerptTest, CutsBetweenCharacters) {
  EXPECT_EQ(excerpt("abc", 3), "abc");
  EXPECT_EQ(excerpt("abcd", 3), "abc...");
  EXPECT_EQ(excerpt("a\u00e4\u65e5", 6), "a\u00e4\u65e5");
  EXPECT_EQ(excerpt("a\u00e4\u65e5", 5), "a\u00e4...");
  EXPECT_EQ(excerpt("a\u00e4\u65e5", 2), "a...");
  EXPECT_EQ(excerpt("\x80\x80\x80", 2), "...");  // no character at all
  EXPECT_EQ(excerpt(std::string(1'000'000, 'x')).size(), 103u);
}

}  // namespace
}  // namespace sheaf
