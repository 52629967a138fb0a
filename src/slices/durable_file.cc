#include "slices/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/fd.h"

namespace sheaf::slices {
namespace {

constexpr std::size_t kFileBytesMax = 64 << 20;  // 4,096 leases are 2 MB

}  // namespace

Status write_synced(int file, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(path, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(file) != 0) return errno_error(path, errno);
  return {};
}

Status sync_folder(const std::string& folder) {
  const Fd file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file || fsync(file.get()) != 0) return errno_error(folder, errno);
  return {};
}

Status replace_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return errno_error(fresh, errno);
  SHEAF_TRY(write_synced(file.get(), text, fresh));
  if (rename(fresh.c_str(), path.c_str()) != 0) return errno_error(path, errno);
  return sync_folder(path.substr(0, path.rfind('/')));
}

std::string content_of(const std::string& path) {
  // Not blocking: a pipe in its place would be waited for.
  const Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat facts = {};
  if (!file || fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return "";
  std::string text;
  char chunk[16'384];
  while (text.size() <= kFileBytesMax) {
    const ssize_t size = read(file.get(), chunk, sizeof chunk);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(chunk, static_cast<std::size_t>(size));
  }
  return text;
}

}  // namespace sheaf::slices
