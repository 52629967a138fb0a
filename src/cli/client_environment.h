#pragma once

namespace sheaf::cli {

// The variables that commands which talk to a server read: SHEAF_API_KEY and SHEAF_SERVER. The
// others (SHEAF_MODEL, SHEAF_PORT, …) belong to `sheaf serve`, often set in the same shell.
const char* client_environment(const char* name);

}  // namespace sheaf::cli
