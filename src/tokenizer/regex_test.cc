#include "tokenizer/regex.h"

#include <gtest/gtest.h>
#include <simdjson.h>

namespace sheaf::tokenizer {
namespace {

Result<Regex> regex_of(std::string_view expression) {
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
  EXPECT_TRUE(regex_of(expression).value().find_all(text, result).ok());
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
  for (const std::string expression : {R"(\w+)",        R"(\bx)",
                                       R"(\h)",         "(?m)a",
                                       "(?i)a",         "[[:alpha:]]",
                                       "[a&&b]",        "[]a]",
                                       "a{,3}",         "a{1,3}+",
                                       R"(\p{Greek})",  R"(\p{^L})",
                                       R"(\pL)",        R"(\X)",
                                       "(?<name>a)",    "\\",
                                       "a{2}?",         R"(\p{N}{2}?|\p{L}+)",
                                       "(?i:strasse)",  "(?i:Fi)",
                                       "(?i:[)]|ss)",   "(?i:(a|b)ss)",
                                       "(?i:\u00DF)",   R"((?i:\u00DF))",
                                       R"((?i:\x{df}))"}) {
    const auto regex = regex_of(expression);
    ASSERT_FALSE(regex.ok()) << expression;
    EXPECT_NE(regex.error().message.find("pattern.e: "), std::string::npos);
    EXPECT_NE(regex.error().message.find("is not supported"), std::string::npos)
        << regex.error().message;
  }
  // What is like it and means the same.
  EXPECT_EQ(matches(R"(a{1,3}?|\x{62}?c)", "aabc").size(), 3u);
  EXPECT_EQ(matches(R"((?i:'s|'t|'re|[sdmt]|\p{L})ss)", "A'Sss").size(), 1u);
  EXPECT_NE(regex_of("(a").error().message.find("is no regular expression"), std::string::npos);
  EXPECT_NE(regex_of(")a|b(").error().message.find("is no regular expression"), std::string::npos);
  EXPECT_NE(regex_of("[a").error().message.find("is not supported"), std::string::npos);
}

// What becomes of `text`: the error's message, empty if all went well.
std::string failure(std::string_view expression, std::string_view text) {
  std::vector<Piece> result;
  const Status status = regex_of(expression).value().find_all(text, result);
  if (status.ok()) return "";
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  return status.error().message;
}

TEST(Regex, LongTextsTakeTimeInProportion) {
  const std::string letters(1'000'000, 'a'), spaces(1'000'000, ' ');
  EXPECT_EQ(matches("a+", letters).size(), 1u);
  EXPECT_EQ(matches("b", letters).size(), 0u);
  EXPECT_EQ(matches(R"([\p{N}b])", letters).size(), 0u);
  EXPECT_EQ(matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces + "a").size(), 2u);
  EXPECT_EQ(matches("a", letters).size(), letters.size());
  std::string accents = "e";
  for (int i = 0; i < 500'000; ++i) accents += "\u0301";
  EXPECT_EQ(matches(R"(\p{L}\p{M}*|\s)", accents).size(), 1u);
}

// Each is beyond one of the limits: steps, memory, time.
TEST(Regex, WhatLosesItselfInATextIsAnErrorAndNoHang) {
  EXPECT_EQ(
      failure("(?:a+)+\\d", std::string(1000, 'a')),
      "tokenizer.json: pattern.e: \"(?:a+)+\\\\d\" fails on a text of 1000 bytes: match limit "
      "exceeded");
  EXPECT_NE(failure("(?:a|b)+", std::string(1'000'000, 'a')).find("heap limit exceeded"),
            std::string::npos);
  EXPECT_NE(
      failure(R"([ab]*(?=c)|x)", std::string(100'000, 'a')).find("it takes longer than 1.5 s"),
      std::string::npos);
}

}  // namespace
}  // namespace sheaf::tokenizer
