#include "tokenizer/run_pattern.h"

#include <gtest/gtest.h>
#include <simdjson.h>

namespace sheaf::tokenizer {
namespace {

Result<RunPattern> run_pattern_of(const std::string& json) {
  simdjson::dom::parser parser;
  return RunPattern::parse(JsonField(parser.parse(json).value(), "pattern"));
}

TEST(RunPattern, FindsStringsAndRuns) {
  const RunPattern string = run_pattern_of(R"({"String": "ab"})").value();
  EXPECT_EQ(string.find("xabab", 0), (Piece{1, 3}));
  EXPECT_EQ(string.find("xabab", 2), (Piece{3, 5}));
  EXPECT_EQ(string.find("xa", 0), std::nullopt);
  const RunPattern runs = run_pattern_of(R"({"Regex": " {2,}"})").value();
  EXPECT_EQ(runs.find("a b   c", 0), (Piece{3, 6}));
  EXPECT_EQ(runs.find("a b c ", 0), std::nullopt);
  EXPECT_EQ(run_pattern_of("{\"Regex\": \"\u00E9+\"}").value().find("e\u00E9\u00E9", 0),
            (Piece{1, 5}));
}

TEST(RunPattern, RefusesOtherRegexes) {
  for (const char* regex :
       {"", "a", ".+", "[ ]+", " *", " {,2}", " {0,}", " {x,}", "ab+", " {2}"}) {
    const auto parsed = run_pattern_of(std::string(R"({"Regex": ")") + regex + "\"}");
    ASSERT_FALSE(parsed.ok()) << regex;
    EXPECT_EQ(parsed.error().code, ErrorCode::unsupported);
    EXPECT_NE(parsed.error().message.find("pattern.Regex: \"" + std::string(regex) + "\" is not"),
              std::string::npos);
  }
  EXPECT_FALSE(run_pattern_of(R"({"String": ""})").ok());
  EXPECT_FALSE(run_pattern_of(R"({})").ok());
}

}  // namespace
}  // namespace sheaf::tokenizer
