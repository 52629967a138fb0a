#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "slices/mig_request.h"

// The privileged helper: a process that may cut cards, keeps the machine's leases and watches over
// MPS, and does it for those that may ask. One request a connection, as a line of JSON each way,
// over a Unix socket.
namespace sheaf::slices {

struct HelperOptions {
  std::string folder;  // of socket, lock and journal
  // Who may ask besides root and the helper's own user; as the kernel tells it of the other end.
  std::vector<uid_t> users;
  std::vector<gid_t> groups;
};

// The helper's end. On one thread, beside that of MpsKeeper; requests are served one after the
// other.
class SliceHelper {
 public:
  // Undoes what was cut off, then listens. Error unavailable: another helper listens there.
  static Result<SliceHelper> start(const HelperOptions& options);
  ~SliceHelper();
  SliceHelper(SliceHelper&&) noexcept = default;
  SliceHelper& operator=(SliceHelper&&) = delete;

  // Until `stop_fd` becomes readable. A client that says nothing for 5 s is dropped.
  Status serve(int stop_fd);

 private:
  SliceHelper(HelperOptions options, Fd listener)
      : options_(std::move(options)), listener_(std::move(listener)) {}
  void serve_one(Fd connection);
  HelperOptions options_;
  Fd listener_;
};

// The other end: makes the change through the helper of this folder if one listens, else here, with
// the rights of this process. `wait_ms`: how long to wait for another's change to end.
Result<ChangeReport> request_change(const std::string& folder, const MigRequest& request,
                                    int wait_ms, const std::string& who);

}  // namespace sheaf::slices
