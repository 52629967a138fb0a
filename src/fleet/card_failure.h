#pragma once

#include <optional>
#include <string>

namespace sheaf::fleet {

// An error of a card that what runs there does not outlive.
struct CardFailure {
  unsigned gpu = 0;                                        // NVML's index
  std::optional<unsigned> gpu_instance, compute_instance;  // unset: all of the card
  bool for_good = false;  // the card is not to be used until it was reset, if ever
  std::string what;       // "Xid 94", for the log
};

}  // namespace sheaf::fleet
