#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

namespace sheaf::tokenizer::unicode {
namespace {

TEST(Unicode, EncodesWhatItDecodes) {
  for (CodePoint c = 0; c < kCodePoints; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(text.size(), utf8_size(c));
    const char* p = text.data();
    ASSERT_EQ(decode_utf8(p), c);
    ASSERT_EQ(p, text.data() + text.size());
  }
}

TEST(Unicode, TablesAreSorted) {
  for (const auto ranges :
       {other(), white_space(), punctuation(), nonspacing_mark(), word(), chinese()}) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      EXPECT_LE(ranges[i].first, ranges[i].last);
      if (i > 0) {
        EXPECT_GT(ranges[i].first, ranges[i - 1].last + 1);
      }
    }
  }
}

TEST(Unicode, Decomposes) {
  EXPECT_EQ(decompose('a').size, 1u);
  EXPECT_EQ(decompose(0xE9).code_points[1], 0x301u);
  EXPECT_EQ(decompose(0xAC01).size, 3u);  // a syllable of three letters
  EXPECT_EQ(decompose(0xAC00).size, 2u);
  EXPECT_EQ(decompose(0x1E69).size, 3u);  // s, dot below, dot above: fully, not one step
}

TEST(Unicode, ReplacesMaximalSubpartsLikePython) {
  const auto replaced = [](std::string_view text) { return replace_invalid_utf8(text); };
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(replaced("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(replaced("\x80"), bad);
  EXPECT_EQ(replaced("a\xC3"), "a" + bad);
  EXPECT_EQ(replaced("\xC0\xAF"), bad + bad);
  EXPECT_EQ(replaced("\xE2\x82"), bad);  // begins some character: one
  EXPECT_EQ(replaced("\xE2\x82z"), bad + "z");
  EXPECT_EQ(replaced("\xE0\x80\x80"), bad + bad + bad);  // overlong: begins none
  EXPECT_EQ(replaced("\xED\xA0\x80"), bad + bad + bad);  // a surrogate
  EXPECT_EQ(replaced("\xF0\x9F\x98"), bad);
  EXPECT_EQ(replaced("\xF0\x9F\x98\xF0\x9F\x98\x80"), bad + "\xF0\x9F\x98\x80");
  EXPECT_EQ(replaced("\xF4\x90\x80\x80"), bad + bad + bad + bad);
  EXPECT_EQ(replaced("\xF5\xFF"), bad + bad);
}

TEST(Unicode, ReplacementKnowsWhereItCameFrom) {
  std::vector<std::size_t> offsets;
  EXPECT_EQ(replace_invalid_utf8("a\xF0\x9F\x98z", &offsets), "a\xEF\xBF\xBDz");
  EXPECT_EQ(offsets, (std::vector<std::size_t>{0, 1, 1, 1, 4, 5}));
}

TEST(Unicode, SeesSpaceAndWordsAtTheEdges) {
  EXPECT_EQ(trailing_space_start("a \xE3\x80\x80\t"), 1u);
  EXPECT_EQ(trailing_space_start("  "), 0u);
  EXPECT_EQ(leading_space_size("\xC2\xA0 a"), 3u);
  EXPECT_TRUE(starts_with_word("\xC3\xA9."));
  EXPECT_FALSE(starts_with_word("."));
  EXPECT_FALSE(starts_with_word(""));
  EXPECT_TRUE(ends_with_word("._"));
  EXPECT_FALSE(ends_with_word("a "));
}

}  // namespace
}  // namespace sheaf::tokenizer::unicode
