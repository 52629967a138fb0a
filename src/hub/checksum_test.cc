#include "hub/checksum.h"

#include <gtest/gtest.h>

#include <fstream>

namespace sheaf::hub {
namespace {

std::string file_with(const std::string& content) {
  const std::string path = testing::TempDir() + "sheaf_checksum_test";
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

// `git hash-object` of the same bytes, and the test vectors of FIPS 180-2.
TEST(DigestFile, EqualsGitAndTheStandard) {
  EXPECT_EQ(digest_file(file_with(""), Digest::git_blob_sha1).value(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(digest_file(file_with("hello\n"), Digest::git_blob_sha1).value(),
            "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(digest_file(file_with("abc"), Digest::sha256).value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_file(file_with(std::string(1'000'000, 'a')), Digest::sha256).value(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(DigestFile, NamesTheFileThatItCannotRead) {
  const auto digest = digest_file("/nonexistent/file", Digest::sha256);
  ASSERT_FALSE(digest.ok());
  EXPECT_NE(digest.error().message.find("/nonexistent/file"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::hub
