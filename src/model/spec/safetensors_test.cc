#include "model/spec/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace sheaf::model {
namespace {

// A file of this header and `data_bytes` zeros, in memory of exactly its size.
std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

struct Case {
  const char* header;
  std::size_t data_bytes;
  const char* complaint;  // part of the message, which must name the file too
};

TEST(Safetensors, ContradictionsAreRefusedByName) {
  const Case cases[] = {
      {R"([])", 0, "not an object"},
      {R"({"a":1})", 0, "tensor 'a'"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a': field 'dtype'"},
      {R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4, "'F99' is unknown"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "field 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "field 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "field 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4,
       "9 dimensions"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "2^64"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4, "2^64"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "field 'data_offsets'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "not a pair"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "leaves the 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 4, "leaves the 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "holds 4 bytes where"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8,
       "4 bytes follow the last tensor"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "begins at 4"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "tensor 'b'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "'a' occurs twice"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "'dtype' occurs twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
       "field 'x' is unknown"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__"},
      {R"({"a":{"dtype":"F32","shape":[[[[1]]]],"data_offsets":[0,4]}})", 4, "nested deeper"},
      {R"({"a":)", 0, "not JSON"},
  };
  for (const Case& c : cases) {
    const auto table = TensorTable::parse(file_of(c.header, c.data_bytes), "some.safetensors");
    ASSERT_FALSE(table.ok()) << c.header;
    EXPECT_EQ(table.error().code, ErrorCode::corrupt);
    EXPECT_NE(table.error().message.find("some.safetensors"), std::string::npos)
        << table.error().message;
    EXPECT_NE(table.error().message.find(c.complaint), std::string::npos) << table.error().message;
  }
}

TEST(Safetensors, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep(1'000'000, '[');
  const auto table = TensorTable::parse(file_of(deep, 0), "f");
  ASSERT_FALSE(table.ok());
  EXPECT_NE(table.error().message.find("nested deeper"), std::string::npos);
}

TEST(Safetensors, HeaderLengthBeyondTheFileIsRefused) {
  for (const std::uint64_t length : {1ull, 1ull << 31, 1ull << 62, ~0ull}) {
    std::vector<std::byte> file(8);
    std::memcpy(file.data(), &length, 8);
    const auto table = TensorTable::parse(file, "f");
    ASSERT_FALSE(table.ok());
    EXPECT_NE(table.error().message.find("header length"), std::string::npos)
        << table.error().message;
  }
}

TEST(Safetensors, PointersOfGitLfsAreNamed) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\n";
  const auto table = TensorTable::parse(std::as_bytes(std::span(pointer)), "f");
  ASSERT_FALSE(table.ok());
  EXPECT_NE(table.error().message.find("git lfs pull"), std::string::npos);
}

TEST(Safetensors, EmptyTensorsAndScalarsAreTaken) {
  const auto table =
      TensorTable::parse(file_of(R"({"none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
                                 R"("one":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                                 4),
                         "f");
  ASSERT_TRUE(table.ok()) << table.error().message;
  ASSERT_NE(table->find("one"), nullptr);
  EXPECT_EQ(element_count(*table->find("one")), 1u);
  EXPECT_EQ(element_count(*table->find("none")), 0u);
  EXPECT_EQ(table->find("two"), nullptr);
}

TEST(Safetensors, TruncatedAtEveryLengthIsRefused) {
  std::ifstream stream(SHEAF_SOURCE_DIR "/tests/golden/tiny_bert/model/model.safetensors",
                       std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)), {});
  ASSERT_GT(whole.size(), 100'000u);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  // Every length within the header and just behind it, then many within the data, where one check
  // decides.
  for (std::size_t length = 0; length < whole.size(); length += length < header + 100 ? 1 : 41) {
    const std::vector<char> part(whole.begin(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_FALSE(TensorTable::parse(std::as_bytes(std::span(part)), "f").ok()) << length;
  }
  EXPECT_TRUE(TensorTable::parse(std::as_bytes(std::span(whole)), "f").ok());
}

}  // namespace
}  // namespace sheaf::model
