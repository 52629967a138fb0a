#include "base/process_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace sheaf {

std::optional<std::uint64_t> resident_bytes(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t size = 0, resident = 0;
  if (!(file >> size >> resident)) return std::nullopt;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sheaf
