#include "cli/text_source.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace sheaf::cli {
namespace {

TEST(TextSource, LinesOfFilesInOrder) {
  const std::string one = testing::TempDir() + "sheaf_text_source_1";
  const std::string two = testing::TempDir() + "sheaf_text_source_2";
  std::ofstream(one) << "a\r\n\nb";
  std::ofstream(two) << "c\n";
  TextSource source = TextSource::open({one, two}).value();
  EXPECT_EQ(source.total_bytes(), 7u);
  const TextLines first = source.next(3).value();
  EXPECT_EQ(first.texts, (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(first.places, (std::vector<std::string>{one + ":1", one + ":2", one + ":3"}));
  const TextLines second = source.next(3).value();
  EXPECT_EQ(second.texts, std::vector<std::string>{"c"});
  EXPECT_EQ(second.places, std::vector<std::string>{two + ":1"});
  EXPECT_TRUE(source.next(3).value().texts.empty());
  EXPECT_EQ(source.read_bytes(), 7u);
  std::remove(one.c_str());
  std::remove(two.c_str());
}

TEST(TextSource, AByteOrderMarkIsNoText) {
  const std::string one = testing::TempDir() + "sheaf_text_source_mark_1";
  const std::string two = testing::TempDir() + "sheaf_text_source_mark_2";
  std::ofstream(one) << "\xEF\xBB\xBF"
                        "a\n\xEF\xBB\xBF"
                        "b\n";
  std::ofstream(two) << "\xEF\xBB\xBF\nc";
  TextSource source = TextSource::open({one, two}).value();
  EXPECT_EQ(source.next(9).value().texts, (std::vector<std::string>{"a",
                                                                    "\xEF\xBB\xBF"
                                                                    "b",
                                                                    "", "c"}));
  EXPECT_EQ(source.broken_lines(), 0u);
  std::remove(one.c_str());
  std::remove(two.c_str());
}

TEST(TextSource, CountsLinesThatAreNotUtf8) {
  const std::string path = testing::TempDir() + "sheaf_text_source_broken";
  std::ofstream(path) << "Gr\xC3\xB6\xC3\x9F"
                         "e\nGr\xF6\xDF"
                         "e\nlast\xC3";
  TextSource source = TextSource::open({path}).value();
  EXPECT_EQ(source.next(9).value().texts.size(), 3u);
  EXPECT_EQ(source.broken_lines(), 2u);
  std::remove(path.c_str());
}

TEST(TextSource, NamesTheFileThatIsMissing) {
  EXPECT_NE(TextSource::open({"/nowhere"}).error().message.find("/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::cli
