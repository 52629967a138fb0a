#include "tokenizer/regex.h"

#include <gtest/gtest.h>
#include <simdjson.h>

namespace sheaf::tokenizer {
namespace {

Result<Regex> parse(std::string_view expression) {
  std::string json = "{\"e\":\"";
  for (const char c : expression) {
    if (c == '\\' || c == '"') json += '\\';
    json += c;
  }
  simdjson::dom::parser parser;
  const simdjson::dom::element document = parser.parse(json + "\"}").value();
  return Regex::parse(JsonField(document, "pattern").get("e").value());
}

std::vector<Piece> matches(std::string_view expression, std::string_view text) {
  std::vector<Piece> result;
  parse(expression).value().find_all(text, result);
  return result;
}

TEST(Regex, FindsAllMatches) {
  EXPECT_EQ(matches("a+", "aa b a"), (std::vector<Piece>{{0, 2}, {5, 6}}));
  EXPECT_EQ(matches("a*", "aab"), (std::vector<Piece>{{0, 2}, {3, 3}}));
  EXPECT_EQ(matches("^.", "ab\r\ncd"), (std::vector<Piece>{{0, 1}, {4, 5}}));
  EXPECT_EQ(matches(R"(\u4E00|\p{Han})", "\u4E01"), (std::vector<Piece>{{0, 3}}));
}

TEST(Regex, KnowsCharactersNewerThanPcre2) {
  EXPECT_EQ(matches(R"(\p{L}+)", "a\u1C89\U0002EBF0b").size(), 1u);
  EXPECT_EQ(matches(R"(\p{Lu})", "\u1C89").size(), 1u);
  EXPECT_EQ(matches(R"(\p{Nd})", "\U00010D40").size(), 1u);
  EXPECT_TRUE(matches(R"(\s)", "\u180E").empty());
}

TEST(Regex, RefusesWhatMeansSomethingElseInOniguruma) {
  for (const std::string expression :
       {R"(\w+)", R"(\bx)", R"(\h)", "(?m)a", "(?i)a", "[[:alpha:]]", "[a&&b]", "[]a]", "a{,3}",
        "a{1,3}+", R"(\p{Greek})", R"(\p{^L})", R"(\pL)", R"(\X)", "(?<name>a)", "\\"}) {
    const auto regex = parse(expression);
    ASSERT_FALSE(regex.ok()) << expression;
    EXPECT_NE(regex.error().message.find("pattern.e: "), std::string::npos);
    EXPECT_NE(regex.error().message.find("is not supported"), std::string::npos)
        << regex.error().message;
  }
  EXPECT_NE(parse("(a").error().message.find("is no regular expression"), std::string::npos);
  EXPECT_NE(parse("[a").error().message.find("is not supported"), std::string::npos);
}

// Exponential for a matcher that only goes back and forth: it gives up.
TEST(Regex, HostileTextDoesNotHang) {
  EXPECT_TRUE(matches("(?:a+)+b", std::string(100'000, 'a')).empty());
  EXPECT_EQ(matches("(?:a|b)+", std::string(1'000'000, 'a')).size(), 0u);
  EXPECT_EQ(matches("a+", std::string(1'000'000, 'a')).size(), 1u);
}

}  // namespace
}  // namespace sheaf::tokenizer
