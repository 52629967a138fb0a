#include "cli/client_environment.h"

#include <cstdlib>
#include <string_view>

namespace sheaf::cli {

const char* client_environment(const char* name) {
  const std::string_view wanted = name;
  return wanted == "SHEAF_API_KEY" || wanted == "SHEAF_SERVER" ? std::getenv(name) : nullptr;
}

}  // namespace sheaf::cli
