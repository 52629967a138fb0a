#include "base/mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

namespace sheaf {
namespace {

TEST(Memfd, IsSharedUntilSealedAndThenNeverChanges) {
  auto fd = make_memfd("sheaf-test", 8192);
  ASSERT_TRUE(fd.ok());
  {
    auto writable = Mapping::map(fd->get(), 8192, Mapping::Access::read_write);
    ASSERT_TRUE(writable.ok());
    std::memcpy(writable->data() + 5000, "weights", 7);
    EXPECT_FALSE(seal_memfd(fd->get()).ok());  // while somebody may still write
  }
  ASSERT_TRUE(seal_memfd(fd->get()).ok());
  EXPECT_FALSE(Mapping::map(fd->get(), 8192, Mapping::Access::read_write).ok());
  EXPECT_NE(::ftruncate(fd->get(), 0), 0);
  EXPECT_NE(::ftruncate(fd->get(), 16384), 0);
  auto readable = Mapping::map(fd->get(), 8192, Mapping::Access::read_only);
  ASSERT_TRUE(readable.ok());
  fd->reset();  // a mapping outlives its descriptor
  EXPECT_EQ(std::memcmp(readable->data() + 5000, "weights", 7), 0);
}

TEST(Mapping, MovesItsOnlyOwner) {
  auto fd = make_memfd("sheaf-test", 4096);
  auto first = Mapping::map(fd->get(), 4096, Mapping::Access::read_write);
  ASSERT_TRUE(first.ok());
  Mapping second = std::move(*first);
  EXPECT_EQ(first->data(), nullptr);
  EXPECT_EQ(second.size(), 4096u);
  second.bytes()[0] = std::byte{7};
}

TEST(Mapping, NamesTheFileThatCannotBeMapped) {
  const auto missing = Mapping::map_file("/no/such/file");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::io);
  EXPECT_NE(missing.error().message.find("/no/such/file"), std::string::npos);
  EXPECT_FALSE(Mapping::map_file("/tmp").ok());
}

TEST(Fd, ClosesWhatItOwnsOnce) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const int raw = pipe_fds[0];
  {
    Fd first(raw);
    Fd second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), raw);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
  ::close(pipe_fds[1]);
}

}  // namespace
}  // namespace sheaf
