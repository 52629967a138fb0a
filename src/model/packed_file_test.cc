#include "model/packed_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/fd.h"

namespace sheaf::model {
namespace {

using Layers = std::vector<std::uint32_t>;

const std::string kFolder = SHEAF_SOURCE_DIR "/tests/golden/tiny_bert/model";

// The bytes of a file without tensors.
std::string packed_with(Fp8Layers layers) {
  const Fd fd = std::move(*make_memfd("packed_file_test", 0));
  const PackedHead head{*read_spec(kFolder, ""), "some backend", {}, std::move(layers)};
  EXPECT_TRUE(write_packed_outline(fd.get(), head, {}).ok());
  std::string bytes(*file_size(fd.get()), '\0');
  EXPECT_EQ(::pread(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return bytes;
}

Result<PackedFile> open_bytes(const std::string& bytes) {
  const Fd fd = std::move(*make_memfd("packed_file_test", bytes.size()));
  EXPECT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes.size(), Mapping::Access::read_only));
  return PackedFile::open(std::move(mapping));
}

// Other text in the place of the list, of the same length, with the hash of what then is there.
std::string replaced(std::string bytes, const std::string& was, const std::string& is) {
  EXPECT_EQ(was.size(), is.size());
  const std::size_t at = bytes.find(was);
  EXPECT_NE(at, bytes.npos);
  bytes.replace(at, was.size(), is);
  constexpr std::size_t kLengthAt = 12, kHashAt = 24, kTextAt = 64;
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + kLengthAt, sizeof length);
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < length; ++i)
    hash = (hash ^ static_cast<unsigned char>(bytes[kTextAt + i])) * 0x100000001b3;
  std::memcpy(bytes.data() + kHashAt, &hash, sizeof hash);
  return bytes;
}

TEST(PackedFiles, SayWhichLayersAreInFp8) {
  for (const Fp8Layers& layers :
       {Fp8Layers(), Fp8Layers(Layers{}), Fp8Layers(Layers{1}), Fp8Layers(Layers{0, 1})}) {
    const auto file = open_bytes(packed_with(layers));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->fp8_layers(), layers);
  }
}

TEST(PackedFiles, WithLayersThatCannotBeAreRefused) {
  const auto refusal = [](const std::string& bytes) {
    const auto file = open_bytes(bytes);
    return file.ok() ? "" : file.error().message;
  };
  const std::string field = "packed weights: field 'fp8_layers': ";
  const auto there_is_no = [&](const std::string& layer) {
    return field + "layer " + layer + " cannot be in fp8: the model's 2 layers are numbered from 0";
  };
  EXPECT_EQ(refusal(packed_with(Layers{0, 2})), there_is_no("2"));
  EXPECT_EQ(refusal(packed_with(Layers{1, 0})),
            field + "layers in fp8 ascend, and 0 comes behind 1");
  const std::string good = packed_with(Layers{0, 1});
  ASSERT_EQ(refusal(replaced(good, "[0,1]", "[0,1]")), "");
  const std::string type = "packed weights: a field is missing or of another type";
  for (const char* is :
       {"\"0,1\"", "[[0]]", "[\"1\"]", "false", "  0.5", "[0.5]", "[ -1]", "[1e9]"})
    EXPECT_EQ(refusal(replaced(good, "[0,1]", is)), type) << is;
  EXPECT_EQ(refusal(replaced(good, "\"fp8_layers\"", "\"fp8_layerz\"")), type);
  // Of more than 32 bits, which must not come out as layer 1.
  const std::string many = packed_with(Layers{0, 1, 2, 3, 10});
  EXPECT_EQ(refusal(replaced(many, "[0,1,2,3,10]", "[4294967297]")), there_is_no("4294967295"));
}

}  // namespace
}  // namespace sheaf::model
