#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "slices/card_state.h"

// One lock and one journal for the partitions of a machine. The journal holds how the cards were
// before a change began; it is gone when the change is whole. Whoever takes the lock and finds one
// puts the cards back first.
namespace sheaf::slices {

struct UnfinishedChange {
  std::string what;                // "create 3g.20gb on GPU 0 (process 4711)"
  std::vector<CardState> before;   // of every card that it may have touched
  std::vector<std::string> steps;  // that were begun, in order
};

// The one holder of the lock; gives it back when destroyed. Instances do not outlive a boot, and so
// the folder need not either: /run/sheaf-slices unless said otherwise.
class MigJournal {
 public:
  // Makes the folder if need be. Error unavailable: another process holds the lock and did not give
  // it back within `wait_ms`; the message names it. Error permission_denied: the folder is not ours
  // to write.
  static Result<MigJournal> open(const std::string& folder, int wait_ms, const std::string& who);

  // Error corrupt: there is a journal, and it cannot be read.
  Result<std::optional<UnfinishedChange>> unfinished() const;
  // Each is on the disk when it returns.
  Status begin(const std::string& what, const std::vector<CardState>& before);
  Status note_step(const std::string& step);
  Status end();

  const std::string& folder() const { return folder_; }

 private:
  MigJournal(std::string folder, Fd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::string path() const { return folder_ + "/journal"; }
  std::string folder_;
  Fd lock_;
  Fd file_;  // while a change goes on
};

// $SHEAF_SLICES_FOLDER or /run/sheaf-slices.
std::string default_slices_folder();

}  // namespace sheaf::slices
