#include "cli/vector_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sheaf::cli {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

class VectorWriterTest : public testing::Test {
 protected:
  void TearDown() override { std::remove(path_.c_str()); }
  const std::string path_ = testing::TempDir() + "sheaf_vector_writer_test";
  const std::vector<std::string> texts_ = {"a \"b\"", ""};
  const std::vector<std::vector<float>> rows_ = {{0.1f, -1}, {0.25f, 1e-9f}};
};

TEST_F(VectorWriterTest, JsonLinesInFewestDigits) {
  auto writer = make_json_lines_writer(path_).value();
  ASSERT_TRUE(writer->write(texts_, rows_, 2).ok());
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ(content_of(path_),
            "{\"text\": \"a \\\"b\\\"\", \"embedding\": [0.1, -1]}\n"
            "{\"text\": \"\", \"embedding\": [0.25, 1e-09]}\n");
}

TEST_F(VectorWriterTest, JsonLinesOfTermsAndOfTokens) {
  auto terms = make_json_lines_writer(path_, model::Output::sparse).value();
  const std::vector<std::vector<float>> sparse = {{7, 0.5f, 30521, 0.1f}, {}};
  ASSERT_TRUE(terms->write(texts_, sparse, 0).ok());
  ASSERT_TRUE(terms->finish().ok());
  EXPECT_EQ(content_of(path_),
            "{\"text\": \"a \\\"b\\\"\", \"sparse\": [{\"index\": 7, \"value\": 0.5}, "
            "{\"index\": 30521, \"value\": 0.1}]}\n"
            "{\"text\": \"\", \"sparse\": []}\n");
  auto tokens = make_json_lines_writer(path_, model::Output::tokens).value();
  const std::vector<std::vector<float>> several = {{1, 2, 3, 4}, {5, 6}};
  ASSERT_TRUE(tokens->write(texts_, several, 2).ok());
  ASSERT_TRUE(tokens->finish().ok());
  EXPECT_EQ(content_of(path_),
            "{\"text\": \"a \\\"b\\\"\", \"embeddings\": [[1, 2], [3, 4]]}\n"
            "{\"text\": \"\", \"embeddings\": [[5, 6]]}\n");
}

TEST_F(VectorWriterTest, NpyCountsItsRowsAtTheEnd) {
  auto writer = make_npy_writer(path_).value();
  ASSERT_TRUE(writer->write(texts_, rows_, 2).ok());
  ASSERT_TRUE(writer->write(std::span(texts_).first(1), std::span(rows_).first(1), 2).ok());
  ASSERT_TRUE(writer->finish().ok());
  const std::string content = content_of(path_);
  ASSERT_EQ(content.size(), 128 + 6 * sizeof(float));
  EXPECT_EQ(content.substr(0, 128), npy_header(3, 2));
  float last = 0;
  std::memcpy(&last, content.data() + content.size() - sizeof last, sizeof last);
  EXPECT_EQ(last, -1);
}

TEST_F(VectorWriterTest, AFileStaysAsItWasUnlessAllWentWell) {
  std::ofstream(path_) << "precious";
  const std::string link = path_ + "_link";
  std::filesystem::create_symlink(path_, link);
  std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
  {
    auto writer = make_npy_writer(path_).value();
    ASSERT_TRUE(writer->write(texts_, rows_, 2).ok());
    EXPECT_EQ(content_of(path_), "precious");
    EXPECT_TRUE(std::filesystem::exists(path_ + ".part"));
  }
  EXPECT_EQ(content_of(path_), "precious");
  EXPECT_FALSE(std::filesystem::exists(path_ + ".part"));
  auto writer = make_json_lines_writer(link).value();
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(content_of(path_), "");
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms::owner_all);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".part"));
  std::filesystem::remove(link);
}

TEST(VectorWriter, APipeIsWrittenToAsItIs) {
  const std::string path = testing::TempDir() + "sheaf_vector_writer_pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  auto writer = make_json_lines_writer(path).value();
  const std::vector<std::vector<float>> rows = {{1}};
  ASSERT_TRUE(writer->write(std::vector<std::string>{"a"}, rows, 1).ok());
  ASSERT_TRUE(writer->finish().ok());
  char line[64];
  const ssize_t bytes = ::read(reader, line, sizeof line);
  EXPECT_EQ(std::string(line, bytes > 0 ? static_cast<std::size_t>(bytes) : 0),
            "{\"text\": \"a\", \"embedding\": [1]}\n");
  ::close(reader);
  std::filesystem::remove(path);
}

TEST(NpyHeader, HasOneSizeWhateverItSays) {
  for (std::uint64_t rows : {0ull, 1ull, 12'345'678'901'234ull}) {
    const std::string header = npy_header(rows, 384);
    EXPECT_EQ(header.size(), 128u);
    EXPECT_EQ(header.back(), '\n');
    EXPECT_EQ(header[8], 118);
  }
}

TEST(VectorWriter, SaysWhichFileCannotBeWritten) {
  EXPECT_NE(make_npy_writer("/nowhere/x.npy").error().message.find("/nowhere/x.npy"),
            std::string::npos);
}

}  // namespace
}  // namespace sheaf::cli
