#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/mig_journal.h"
#include "slices/mps.h"

// What a command asks of MPS: the same whether this process may do it or asks the helper to.
namespace sheaf::slices {

struct MpsRequest {
  enum class Verb { start, stop, list };
  Verb verb = Verb::list;
  // find_place()'s words. None: of start the only card or slice there is, of the others all.
  std::vector<std::string> places;
  MpsSettings settings;  // of start
  bool force = false;    // stop one that has clients
};

std::string to_text(const MpsRequest& request);  // one line of JSON
// Error invalid_argument: it is not what to_text() writes.
Result<MpsRequest> parse_mps_request(const std::string& text);

struct MpsReport {
  std::vector<MpsView> daemons;    // that were started, stopped or listed
  std::vector<std::string> notes;  // what should be known of them
};
std::string to_text(const MpsReport& report);

Result<MpsReport> carry_out_mps(const std::string& folder, const MpsRequest& request);

// Through the helper of this folder if one listens, else here; who starts it here has nobody that
// watches it, which the report says.
Result<MpsReport> request_mps(const std::string& folder, const MpsRequest& request);

}  // namespace sheaf::slices
