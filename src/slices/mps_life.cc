#include "slices/mps_life.h"

#include "slices/mps.h"

namespace sheaf::slices {

std::optional<MpsLife> mps_life(const std::string& folder, const std::string& uuid) {
  const auto daemon = find_mps(folder, uuid);
  if (!daemon.ok() || !*daemon || !is_alive((*daemon)->process)) return std::nullopt;
  return MpsLife{(*daemon)->generation, (*daemon)->last.at_unix_s};
}

}  // namespace sheaf::slices
