#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "hub/checksum.h"
#include "hub/http.h"
#include "hub/hub.h"
#include "hub/retry.h"

namespace sheaf::hub {

struct Checksum {
  Digest digest = Digest::sha256;
  std::string hex;
};

struct Download {
  std::string url;
  std::string file;     // as messages and progress name it: "model.safetensors"
  std::string partial;  // collects bytes; what an earlier attempt left in it is continued
  std::string target;   // appears whole or not at all
  std::optional<std::uint64_t> bytes;
  std::optional<Checksum> checksum;
};

struct DownloadOptions {
  int stall_timeout_s = 10;
  RetryPolicy retry;
};

// Brings `download.url` to `download.target`: follows redirects, resumes after breaks, starts over
// where the server ignores ranges or where the checksum shows that the resumed part was bad, checks
// size and checksum, syncs, renames. The caller holds the lock that makes it the only writer of
// `download.partial`.
Status run_download(HttpClient& client, const Download& download, const DownloadOptions& options,
                    const ProgressCallback& progress);

}  // namespace sheaf::hub
