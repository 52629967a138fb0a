#include "cli/bench_texts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace sheaf::cli {
namespace {

TEST(BenchTexts, MadeOfSoManyWordsAndTheSameEachTime) {
  BenchTexts one = BenchTexts::made_of_words(12, 7);
  BenchTexts two = BenchTexts::made_of_words(12, 7);
  const auto texts = one.next(5);
  EXPECT_EQ(texts, two.next(5));
  for (const std::string& text : texts)
    EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 11) << text;
  EXPECT_NE(texts[0], texts[1]);
}

TEST(BenchTexts, FilesStartAgainAtTheirEnd) {
  const std::string path = testing::TempDir() + "sheaf_bench_texts";
  std::ofstream(path) << "a\n\nb\n";
  EXPECT_EQ(BenchTexts::of_file(path).value().next(3), (std::vector<std::string>{"a", "b", "a"}));
  std::ofstream(path) << "\n";
  EXPECT_FALSE(BenchTexts::of_file(path).ok());
  std::remove(path.c_str());
}

TEST(BenchTexts, WordsForALength) {
  EXPECT_EQ(words_for(50, 24, 26), 48u);  // a token a word, two special ones
  EXPECT_EQ(words_for(50, 24, 50), 24u);  // two tokens a word
  EXPECT_EQ(words_for(3, 24, 26), 1u);
  EXPECT_EQ(words_for(100, 24, 0), 392u);  // a server that reports nothing
}

}  // namespace
}  // namespace sheaf::cli
