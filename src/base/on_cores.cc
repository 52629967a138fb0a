#include "base/on_cores.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace sheaf {

void on_cores(std::size_t count, const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(i);
  };
  const std::size_t cores = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  std::vector<std::jthread> others;  // joined when destroyed
  while (others.size() + 1 < std::min(cores, count)) others.emplace_back(work);
  work();
}

}  // namespace sheaf
