#include <cstdint>
#include <cstdlib>

#include "hub/modelscope_listing.h"
#include "hub/names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto listing =
      sheaf::hub::parse_modelscope_listing({reinterpret_cast<const char*>(data), size}, "org/name");
  if (!listing.ok()) return 0;
  for (const auto& [path, file] : *listing)
    if (!sheaf::hub::is_safe_path(path) || (!file.sha256.empty() && file.sha256.size() != 64))
      std::abort();
  return 0;
}
