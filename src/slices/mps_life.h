#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sheaf::slices {

// What the clients of an MPS daemon share: it lasts until the daemon ends or hangs, or a fault of
// one of them stops a server. Then all that were in it have to start again.
struct MpsLife {
  unsigned generation = 0;         // as MpsDaemon has it
  std::int64_t last_event_at = 0;  // of the one that befell it last, in Unix seconds; 0: none
  friend bool operator==(const MpsLife&, const MpsLife&) = default;
};

// The present one on a card or MIG slice; nothing where no daemon runs, or its file cannot be read.
std::optional<MpsLife> mps_life(const std::string& folder, const std::string& uuid);

}  // namespace sheaf::slices
