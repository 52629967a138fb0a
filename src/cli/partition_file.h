#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "slices/mig_request.h"

// Files that say how cards shall be cut.
namespace sheaf::cli {

// mig-parted's format (`mig-configs`, of which `label` names one; it may be empty where there is
// only one) or sheaf's own:
//   partitions:
//     - gpus: all                 # or a list of indexes and UUIDs
//       mig: true
//       instances: [3g.20gb, 2*1g.5gb, 1c.2g.10gb@0]
// Errors name file, line and key.
Result<std::vector<slices::CardWish>> read_partition_file(const std::string& path,
                                                          const std::string& label);

// The same from text; `path` only names it in errors.
Result<std::vector<slices::CardWish>> parse_partitions(const std::string& yaml,
                                                       const std::string& path,
                                                       const std::string& label);

// The present cut of these cards in one of the two formats; the label in mig-parted's is "current".
// mig-parted's cannot say places.
enum class PartitionFormat { sheaf, mig_parted };
Result<std::string> write_partitions(const std::vector<slices::Gpu>& gpus, PartitionFormat format);

}  // namespace sheaf::cli
