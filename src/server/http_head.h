#pragma once

#include <string>

#include "api/http.h"

namespace sheaf::server {

// Writes status line and headers of an answer into `out` (replacing it), up to the empty line.
void write_head(std::string& out, const api::HttpResponse& response, bool keep_alive);

}  // namespace sheaf::server
