#include "core/suspects.h"

#include <cstddef>

namespace sheaf::core {

void Suspects::add_halves(std::vector<QueuedItem> items) {
  std::uint64_t total = 0;
  for (const QueuedItem& item : items) total += item.tokens;
  Group first, second;
  std::uint64_t tokens = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool in_first =
        i == 0 || (i + 1 < items.size() && (tokens + items[i].tokens) * 2 <= total);
    (in_first ? first : second).items.push_back(items[i]);
    tokens += items[i].tokens;
  }
  if (!first.items.empty()) add(std::move(first));
  if (!second.items.empty()) add(std::move(second));
}

}  // namespace sheaf::core
