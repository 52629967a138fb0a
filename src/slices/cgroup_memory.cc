#include "slices/cgroup_memory.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

#include "slices/durable_file.h"

namespace sheaf::slices {
namespace {

// Files of one version, in a group's folder.
struct GroupFiles {
  std::string_view limit, used, events;
};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "memory.events"};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                               "memory.oom_control"};
// What version 1 says where there is no limit is a little below this.
constexpr std::uint64_t kNoLimit = 1ull << 62;

// 0: no number, which is "max" too.
std::uint64_t number_in(const std::string& text) {
  std::istringstream words(text);
  std::uint64_t number = 0;
  return words >> number ? number : 0;
}

std::uint64_t oom_kills_in(const std::string& text) {
  std::istringstream words(text);
  std::string name;
  for (std::uint64_t count = 0; words >> name >> count;)
    if (name == "oom_kill") return count;
  return 0;
}

// From the group up to the root.
void read_groups(const std::string& root, std::string path, const GroupFiles& files,
                 CgroupMemory& memory) {
  while (true) {
    const std::string folder = root + path + "/";
    const std::uint64_t limit = number_in(content_of(folder + std::string(files.limit)));
    if (limit > 0 && limit < kNoLimit && (memory.limit_bytes == 0 || limit < memory.limit_bytes)) {
      memory.limit_bytes = limit;
      memory.used_bytes = number_in(content_of(folder + std::string(files.used)));
    }
    // A group counts what happened below it.
    memory.oom_kills =
        std::max(memory.oom_kills, oom_kills_in(content_of(folder + std::string(files.events))));
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

CgroupMemory read_cgroup_memory(const std::string& self, const std::string& root) {
  CgroupMemory memory;
  std::ifstream lines(self);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") read_groups(root, path, kVersion2, memory);
    if (controllers.find(",memory,") != std::string::npos)
      read_groups(root + "/memory", path, kVersion1, memory);
  }
  return memory;
}

}  // namespace sheaf::slices
