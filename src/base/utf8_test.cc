#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace sheaf {
namespace {

std::string encode(char32_t c) {
  std::string out;
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) {
    out = {static_cast<char>(0xC0 | (c >> 6))};
  } else if (c < 0x10000) {
    out = {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F))};
  } else {
    out = {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)),
           static_cast<char>(0x80 | ((c >> 6) & 0x3F))};
  }
  return out + static_cast<char>(0x80 | (c & 0x3F));
}

TEST(Utf8, TakesEveryScalarValueAndNoSurrogate) {
  for (char32_t c = 0; c < 0x120000; ++c) {
    const std::string text = encode(c);
    const bool valid = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    ASSERT_EQ(valid_utf8_sequence(text), valid ? text.size() : 0) << std::hex << std::uint32_t{c};
  }
}

TEST(Utf8, FindsEveryScalarValueGoodInsideText) {
  for (char32_t c = 0; c < 0x120000; ++c) {
    const bool valid = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    ASSERT_EQ(find_invalid_utf8("a" + encode(c) + "aaaaaaaa"), valid ? std::string::npos : 1);
  }
  for (const char* bad : {"\xE4\xB8", "\xE4\xB8\xC0", "\xE4", "\xE4\x41\x80", "\xE0\x9F\xBF"})
    EXPECT_EQ(find_invalid_utf8(std::string("\u4E2D") + bad + "aaaaaaaa"), 3u);
}

// Two characters at a time, of which either may be at fault: every byte in every place.
TEST(Utf8, FindsEveryBadByteInCharactersOfThreeBytes) {
  const std::string good = "\u4E2D\u1000\uCFFF\u56FD";
  ASSERT_EQ(find_invalid_utf8(good), std::string::npos);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = good;
      text[at] = static_cast<char>(byte);
      std::size_t bad = 0;
      for (std::size_t size = 1; bad < text.size(); bad += size) {
        size = valid_utf8_sequence(std::string_view(text).substr(bad));
        if (size == 0) break;
      }
      ASSERT_EQ(find_invalid_utf8(text), bad < text.size() ? bad : std::string::npos)
          << "byte " << byte << " at " << at;
    }
  }
}

TEST(Utf8, RefusesOverlongAndTruncatedForms) {
  for (const char* bad :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF", "\x80", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xFF"})
    EXPECT_EQ(valid_utf8_sequence(bad), 0u);
  EXPECT_EQ(valid_utf8_sequence(""), 0u);
}

TEST(Utf8, FindsTheFirstBadByteWhereverItLies) {
  for (std::size_t at = 0; at < 40; ++at) {
    std::string text(40, 'a');
    EXPECT_EQ(find_invalid_utf8(text), std::string::npos);
    text[at] = '\x80';
    EXPECT_EQ(find_invalid_utf8(text), at);
  }
  EXPECT_EQ(find_invalid_utf8("aaaaaaa\xE2\x82\xAC"
                              "b\xE2\x82"),
            11u);
}

TEST(Utf8, BytesThatAreNoneAreReplacedOneByOne) {
  EXPECT_EQ(to_valid_utf8("plain, größer, 🚀"), "plain, größer, 🚀");
  EXPECT_EQ(to_valid_utf8("a\xFF\xF0\x9F"
                          "b\xC3"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFD");
  EXPECT_EQ(to_valid_utf8(""), "");
}

TEST(Utf8, CountsCodePoints) {
  EXPECT_EQ(count_characters(""), 0u);
  EXPECT_EQ(count_characters("Größe 東京 🚀"), 10u);
}

}  // namespace
}  // namespace sheaf
