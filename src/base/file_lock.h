#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace sheaf {

// An exclusive lock between processes (flock on a file of its own), the same that Python's filelock
// takes, so that sheaf and huggingface_hub exclude each other. Released when destroyed or when the
// process dies.
class FileLock {
 public:
  // Makes the file and its folders if need be, and waits for as long as another process holds the
  // lock, saying so in the log with what it does there ("fetching model.safetensors").
  static Result<FileLock> acquire(const std::string& path, const std::string& doing);

  // False on a file system without flock (some network ones): the lock then excludes nobody.
  bool held() const { return held_; }

 private:
  FileLock(Fd fd, bool held) : fd_(std::move(fd)), held_(held) {}
  Fd fd_;
  bool held_;
};

}  // namespace sheaf
