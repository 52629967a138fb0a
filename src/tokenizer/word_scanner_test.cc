#include "tokenizer/word_scanner.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

using Kind = WordScanner::Kind;

class WordScannerOf : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    std::string json = "{\"e\":\"";
    for (const char c : WordScanner::expression_of(GetParam())) {
      if (c == '\\' || c == '"') json += '\\';
      json += c;
    }
    document_ = parser_.parse(json + "\"}").value();
    regex_ = Regex::parse(JsonField(document_, "").get("e").value()).value();
  }

  void check(const std::string& text) const {
    std::vector<Piece> words, expected;
    WordScanner(GetParam()).split(text, words);
    EXPECT_TRUE(regex_.find_all(text, expected).ok());
    ASSERT_EQ(words, expected) << testing::PrintToString(text);
  }

  simdjson::dom::parser parser_;
  simdjson::dom::element document_;
  Regex regex_;
};

TEST_P(WordScannerOf, IsFoundByItsExpression) {
  EXPECT_TRUE(WordScanner::find(WordScanner::expression_of(GetParam())).has_value());
  EXPECT_FALSE(WordScanner::find(std::string(WordScanner::expression_of(GetParam())) + "|x"));
}

TEST_P(WordScannerOf, EqualsTheExpressionAtEveryCodePoint) {
  std::string text;
  for (unicode::CodePoint c = 0; c < unicode::kCodePoints; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    if (c >= 0x20000 && c % 61 != 0) continue;
    for (const char* const before : {"a", " ", "1", "'", ".", "\n"}) {
      text += before;
      unicode::append_utf8(c, text);
    }
    if (c % 64 != 63) continue;
    check(text);
    text.clear();
  }
}

TEST_P(WordScannerOf, EqualsTheExpressionOnRandomText) {
  const std::vector<std::string> some = {
      "a",      "S",      "s",      "t",      "r",      "e",         "V",      "l",      "L",
      "m",      "d",      "'",      "'",      " ",      " ",         "\t",     "\n",     "\r",
      "1",      "2",      ".",      "-",      "_",      "\u00E9",    "\u017F", "\u00A0", "\u3000",
      "\u0085", "\u0301", "\u4E00", "\u0663", "\u00BD", "\U0001F600"};
  std::mt19937 random(2);
  for (int i = 0; i < 30'000; ++i) {
    std::string text;
    for (std::size_t n = random() % 16; n > 0; --n) text += some[random() % some.size()];
    check(text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WordScannerOf, testing::Values(Kind::gpt2, Kind::llama3, Kind::qwen2),
                         [](const auto& info) {
                           return info.param == Kind::gpt2     ? "gpt2"
                                  : info.param == Kind::llama3 ? "llama3"
                                                               : "qwen2";
                         });

}  // namespace
}  // namespace sheaf::tokenizer
