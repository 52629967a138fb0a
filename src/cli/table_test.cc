#include "cli/table.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

TEST(Table, AlignsByWidthOnScreen) {
  Table table({{"name"}, {"where", true}, {"time"}});
  table.add_row({"a", "here", "5 µs"});
  table.add_row({"longer", "x", "12 ms"});
  EXPECT_EQ(table.render(),
            "name    where   time\n"
            "a       here    5 µs\n"
            "longer  x      12 ms\n");
}

TEST(OneLine, IsCutByColumnsNotBytes) {
  EXPECT_EQ(one_line("just fits", 9), "just fits");
  EXPECT_EQ(one_line("just fits not", 9), "just fit…");
  EXPECT_EQ(one_line("Größe über", 7), "Größe …");
  EXPECT_EQ(one_line("東京都庁", 8), "東京都庁");
  EXPECT_EQ(one_line("東京都庁", 7), "東京都…");
  EXPECT_EQ(one_line("東京都庁", 6), "東京…") << "half a character does not fit";
  EXPECT_EQ(one_line("e\u0301e\u0301e\u0301", 3), "e\u0301e\u0301e\u0301");
  EXPECT_EQ(one_line("", 5), "");
}

TEST(ShortName, IsWithoutItsOwner) {
  EXPECT_EQ(short_name("org/model"), "model");
  EXPECT_EQ(short_name("model"), "model");
  EXPECT_EQ(short_name("org/"), "");
}

TEST(Wrapped, BreaksAtBlanksBefore80Columns) {
  const std::string word(9, 'w');
  std::string text = word;
  for (int i = 0; i < 10; ++i) text += " " + word;  // 109 columns
  EXPECT_EQ(wrapped(text, 4), text.substr(0, 79) + "\n    " + text.substr(80) + "\n");
  EXPECT_EQ(wrapped(std::string(80, 'x'), 2), std::string(80, 'x') + "\n");
  EXPECT_EQ(wrapped(text.substr(0, 79) + "x more", 0), text.substr(0, 79) + "x\nmore\n");
  EXPECT_EQ(wrapped("µ" + text.substr(1), 4),
            "µ" + text.substr(1, 78) + "\n    " + text.substr(80) + "\n");
}

TEST(Wrapped, WhatCannotBeBrokenStandsAlone) {
  const std::string path(100, 'p');
  EXPECT_EQ(wrapped("folder: " + path + " and more", 2), "folder:\n  " + path + "\n  and more\n");
  EXPECT_EQ(wrapped(path, 2), path + "\n");
  EXPECT_EQ(wrapped("", 2), "\n");
}

TEST(OneLine, MovesNoCursor) {
  EXPECT_EQ(one_line("a\tb\x1B[2Jc\u202Ed", 80), "a b [2Jc d");
  EXPECT_EQ(one_line("a\xFFz", 80), "a\uFFFDz");
}

TEST(Table, NumbersForPeople) {
  EXPECT_EQ(human_duration(812), "812 µs");
  EXPECT_EQ(human_duration(1'250), "1.25 ms");
  EXPECT_EQ(human_duration(45'300), "45.3 ms");
  EXPECT_EQ(human_duration(3'100'000), "3.10 s");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(45'200), "45.2k");
  EXPECT_EQ(human_count(1'310'000), "1.31M");
}

TEST(LayersNamed, StandApartSoThatALineCanBreak) {
  EXPECT_EQ(layers_named("fp8:0,2-4,7"), "0, 2-4, 7");
  EXPECT_EQ(layers_named("fp8:3"), "3");
  EXPECT_EQ(layers_named("fp8"), "");
}

}  // namespace
}  // namespace sheaf::cli
