#include "cli/flag_value.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

TEST(FlagValue, BooleansInEveryUsualSpelling) {
  for (const char* word : {"true", "1", "on", "yes", "enabled"})
    EXPECT_TRUE(parse_boolean(word).value()) << word;
  for (const char* word : {"false", "0", "off", "no", "disabled"})
    EXPECT_FALSE(parse_boolean(word).value()) << word;
  EXPECT_FALSE(parse_boolean("maybe").ok());
}

TEST(FlagValue, CheckedTextsAreKeptOnlyIfTheyPass) {
  std::string variable = "default";
  const FlagValue value = checked_text(variable, [](std::string_view word) -> Status {
    if (word == "good") return {};
    return Error{ErrorCode::invalid_argument, "is not good"};
  });
  EXPECT_EQ(value.set("bad").error().message, "is not good");
  EXPECT_EQ(value.show(), "default");
  ASSERT_TRUE(value.set("good").ok());
  EXPECT_EQ(variable, "good");
}

TEST(FlagValue, WholeNumbersWithinTheirRange) {
  EXPECT_EQ(parse_whole_number("65535", 0, 65535).value(), 65535u);
  for (const char* text : {"65536", "-1", "", "1.5", "12x", " 1"})
    EXPECT_FALSE(parse_whole_number(text, 0, 65535).ok()) << text;
  EXPECT_EQ(parse_whole_number("x", 1, 9).error().message, "'x' is not a whole number from 1 to 9");
}

TEST(FlagValue, Durations) {
  EXPECT_EQ(parse_duration("300").value(), 300'000'000);
  EXPECT_EQ(parse_duration("250ms").value(), 250'000);
  EXPECT_EQ(parse_duration("1.5s").value(), 1'500'000);
  EXPECT_EQ(parse_duration("5m").value(), 300'000'000);
  for (const char* text : {"", "s", "5h", "-1s", "nan", "inf", "1e30"})
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  EXPECT_EQ(show_duration(300'000'000), "5m");
  EXPECT_EQ(show_duration(90'000'000), "90s");
  EXPECT_EQ(show_duration(250'000), "250ms");
  EXPECT_EQ(show_duration(0), "0us");
}

TEST(FlagValue, ByteCounts) {
  EXPECT_EQ(parse_byte_count("32MiB").value(), 32u << 20);
  EXPECT_EQ(parse_byte_count("4096").value(), 4096u);
  EXPECT_FALSE(parse_byte_count("32MB").ok());
  EXPECT_EQ(show_byte_count(32 << 20), "32MiB");
  EXPECT_EQ(show_byte_count(1000), "1000B");
}

TEST(FlagValue, WhatIsShownIsReadBack) {
  for (TimeUs us : {1LL, 999LL, 1'000LL, 61'000'000LL, 3'600'000'000LL})
    EXPECT_EQ(parse_duration(show_duration(us)).value(), us);
  for (std::uint64_t bytes : {1ull, 1023ull, 1024ull, 3ull << 20, 7ull << 30})
    EXPECT_EQ(parse_byte_count(show_byte_count(bytes)).value(), bytes);
}

TEST(FlagValue, ListsReplaceOrAdd) {
  std::vector<std::uint32_t> sizes = {1, 16};
  ASSERT_TRUE(number_list(sizes, 1, 100).set("4,8").ok());
  EXPECT_EQ(sizes, (std::vector<std::uint32_t>{4, 8}));
  EXPECT_FALSE(number_list(sizes, 1, 100).set("4,101").ok());
  EXPECT_FALSE(number_list(sizes, 1, 100).set("").ok());
  EXPECT_EQ(sizes, (std::vector<std::uint32_t>{4, 8}));

  std::vector<std::string> keys;
  ASSERT_TRUE(text_list(keys).set("a,b").ok());
  ASSERT_TRUE(text_list(keys).set("c").ok());
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "b", "c"}));
}

}  // namespace
}  // namespace sheaf::cli
