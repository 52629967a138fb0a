#include "fleet/oom.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace sheaf::fleet {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Where the counter may be, best first: our cgroup of version 2 or 1, the top that a container
// sees, the whole machine.
std::vector<std::string> candidates() {
  std::vector<std::string> files;
  std::istringstream lines(read_file("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t path = line.find('/');
    if (path == std::string::npos) continue;
    if (line.starts_with("0::"))
      files.push_back("/sys/fs/cgroup" + line.substr(path) + "/memory.events");
    if (line.find(":memory:") != std::string::npos)
      files.push_back("/sys/fs/cgroup/memory" + line.substr(path) + "/memory.oom_control");
  }
  files.insert(files.end(), {"/sys/fs/cgroup/memory.events",
                             "/sys/fs/cgroup/memory/memory.oom_control", "/proc/vmstat"});
  return files;
}

}  // namespace

std::uint64_t parse_oom_kills(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t count = 0;
    if (words >> name >> count && name == "oom_kill") return count;
  }
  return 0;
}

OomWatch::OomWatch() {
  for (const std::string& path : candidates()) {
    const std::string text = read_file(path);
    if (text.find("oom_kill ") == std::string::npos) continue;
    path_ = path;
    claimed_ = seen_ = parse_oom_kills(text);
    return;
  }
}

bool OomWatch::claim() {
  if (path_.empty() || parse_oom_kills(read_file(path_)) <= claimed_) return false;
  ++claimed_;
  return true;
}

void OomWatch::forget_old() {
  if (path_.empty()) return;
  claimed_ = std::max(claimed_, seen_);
  seen_ = parse_oom_kills(read_file(path_));
}

}  // namespace sheaf::fleet
