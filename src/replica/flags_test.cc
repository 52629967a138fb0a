#include "replica/flags.h"

#include <gtest/gtest.h>

namespace sheaf::replica {
namespace {

Result<Flags> parse(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return Flags::parse(static_cast<int>(argv.size()), argv.data(), {"cores", "threads", "model"});
}

TEST(Flags, ReadsTextsNumbersAndLists) {
  const auto flags = parse({"--model", "a b", "--threads", "3", "--cores", "0,5,17"});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(*flags->text("model"), "a b");
  EXPECT_EQ(*flags->number("threads"), 3);
  EXPECT_EQ(*flags->numbers("cores"), (std::vector<int>{0, 5, 17}));
  EXPECT_EQ(*flags->number_or("weights", 7), 7);
  EXPECT_FALSE(flags->number("weights").ok());
  EXPECT_TRUE(parse({})->numbers("cores")->empty());
}

TEST(Flags, NamesWhatIsWrong) {
  EXPECT_NE(parse({"--modle", "x"}).error().message.find("--modle"), std::string::npos);
  EXPECT_FALSE(parse({"model", "x"}).ok());
  EXPECT_FALSE(parse({""}).ok());
  EXPECT_FALSE(parse({"--model"}).ok());
  const auto flags = parse({"--threads", "2x", "--cores", "0,,1"});
  EXPECT_NE(flags->number("threads").error().message.find("2x"), std::string::npos);
  EXPECT_FALSE(flags->numbers("cores").ok());
  EXPECT_FALSE(parse({"--threads", "-1"})->number("threads").ok());
}

}  // namespace
}  // namespace sheaf::replica
