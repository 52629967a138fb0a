#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "base/log.h"

namespace sheaf {
namespace {

bool is_unsupported(int error) { return error == ENOSYS || error == EOPNOTSUPP || error == ENOLCK; }

// 0, or the errno of flock(2).
int lock_waiting(int fd, const std::string& doing) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
  if (errno != EWOULDBLOCK) return errno;
  log(LogLevel::info, "another process is {}; waiting for it", doing);
  while (::flock(fd, LOCK_EX) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

// The holder before us may have removed the file: then our lock is on a file that nobody else will
// find.
bool is_still_at(int fd, const std::string& path) {
  struct stat ours {};
  struct stat theirs {};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &theirs) == 0 &&
         ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

}  // namespace

Result<FileLock> FileLock::acquire(const std::string& path, const std::string& doing) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  for (;;) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd) return errno_error(path, errno);
    const int failure = lock_waiting(fd.get(), doing);
    if (is_unsupported(failure)) return FileLock(std::move(fd), false);
    if (failure != 0) return errno_error(path, failure);
    if (is_still_at(fd.get(), path)) return FileLock(std::move(fd), true);
  }
}

}  // namespace sheaf
