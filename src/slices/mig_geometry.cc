#include "slices/mig_geometry.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sheaf::slices {
namespace {

// Places that are still open, over all profiles.
int open_places(const MigGeometry& geometry) {
  int places = 0;
  for (const MigProfile& profile : geometry.card().profiles)
    places += static_cast<int>(geometry.free_starts(profile).size());
  return places;
}

bool is_legal_start(const MigProfile& profile, int start) {
  return std::ranges::find(profile.starts, start) != profile.starts.end();
}

// Instances are put from the left to the right, so that each set of them is met once.
void extend(MigGeometry& geometry, int from, std::vector<MigGeometry>& found) {
  found.push_back(geometry);
  for (int start = from; start < geometry.card().memory_slices; ++start) {
    for (const MigProfile& profile : geometry.card().profiles) {
      if (!geometry.place(profile, start).ok()) continue;
      extend(geometry, start + profile.memory_slices, found);
      geometry.remove(start);
    }
  }
}

bool fit_rest(MigGeometry& geometry, const std::vector<const MigProfile*>& order,
              std::vector<int>& starts) {
  if (starts.size() == order.size()) return true;
  const MigProfile& profile = *order[starts.size()];
  for (const int start : geometry.free_starts(profile)) {
    if (!geometry.place(profile, start).ok()) continue;
    starts.push_back(start);
    if (fit_rest(geometry, order, starts)) return true;
    starts.pop_back();
    geometry.remove(start);
  }
  return false;
}

// "1g.10gb+me" is "1g+me" where there is no room for more.
std::string label(std::string_view name, int width) {
  if (static_cast<int>(name.size()) <= width) return std::string(name);
  return std::string(name.substr(0, name.find('.'))) + std::string(name.substr(name.find('+')));
}

std::string trimmed(std::string line) {
  line.resize(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

int MigGeometry::count(const MigProfile& profile) const {
  return static_cast<int>(std::ranges::count(instances_, &profile, &PlacedInstance::profile));
}

bool MigGeometry::can_place(const MigProfile& profile, int start) const {
  if (!is_legal_start(profile, start) || count(profile) >= profile.count_max) return false;
  const int end = start + profile.memory_slices;
  return std::ranges::none_of(instances_, [start, end](const PlacedInstance& other) {
    return start < other.end() && other.start < end;
  });
}

std::vector<int> MigGeometry::free_starts(const MigProfile& profile) const {
  std::vector<int> starts;
  for (const int start : profile.starts)
    if (can_place(profile, start)) starts.push_back(start);
  return starts;
}

int MigGeometry::remaining_capacity(const MigProfile& profile) const {
  // Starts of one profile are never closer than its size: taking one closes no other.
  return std::min(static_cast<int>(free_starts(profile).size()),
                  profile.count_max - count(profile));
}

std::optional<int> MigGeometry::first_fit(const MigProfile& profile) const {
  std::optional<int> best;
  int most_left = -1;
  for (const int start : free_starts(profile)) {
    MigGeometry after = *this;
    if (!after.place(profile, start).ok()) continue;
    const int left = open_places(after);
    if (left < most_left) continue;
    most_left = left;
    best = start;
  }
  return best;
}

Status MigGeometry::place(const MigProfile& profile, int start) {
  if (!can_place(profile, start)) {
    std::string why;
    if (!is_legal_start(profile, start))
      why = fmt::format("may start at {} only", fmt::join(profile.starts, ", "));
    else if (count(profile) >= profile.count_max)
      why = fmt::format("is one more than the {} that a card holds", profile.count_max);
    else
      why = "finds its place taken";
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} at memory slice {} {}\n{}", profile.name, start, why, picture())};
  }
  const PlacedInstance placed{&profile, start};
  instances_.insert(std::ranges::upper_bound(instances_, start, {}, &PlacedInstance::start),
                    placed);
  return {};
}

bool MigGeometry::remove(int start) {
  return std::erase_if(instances_,
                       [start](const PlacedInstance& one) { return one.start == start; }) > 0;
}

std::string MigGeometry::picture() const {
  constexpr int kCell = 9;  // eight of them in a terminal's 80 columns
  std::string numbers = "slice ", places = "      ";
  for (int slice = 0; slice < card_->memory_slices;) {
    const auto here = std::ranges::find(instances_, slice, &PlacedInstance::start);
    const int size = here == instances_.end() ? 1 : here->profile->memory_slices;
    const int width = size * kCell - 2;
    for (int i = 0; i < size; ++i) numbers += fmt::format(" {:<{}}", slice + i, kCell - 1);
    places += here == instances_.end()
                  ? fmt::format(" {:<{}} ", "free", width)
                  : fmt::format("[{:<{}}]", label(here->profile->name, width), width);
    slice += size;
  }
  return trimmed(std::move(numbers)) + trimmed(std::move(places));
}

std::vector<MigGeometry> all_geometries(const CardModel& card) {
  std::vector<MigGeometry> found;
  MigGeometry geometry(card);
  extend(geometry, 0, found);
  return found;
}

std::optional<std::vector<int>> fit_all(const MigGeometry& geometry,
                                        const std::vector<const MigProfile*>& wanted) {
  // Large ones have the fewest places, so they come first.
  std::vector<std::size_t> order(wanted.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&wanted](std::size_t a, std::size_t b) {
    return wanted[a]->memory_slices > wanted[b]->memory_slices;
  });
  std::vector<const MigProfile*> sorted;
  for (const std::size_t index : order) sorted.push_back(wanted[index]);
  MigGeometry scratch = geometry;
  std::vector<int> found;
  if (!fit_rest(scratch, sorted, found)) return std::nullopt;
  std::vector<int> starts(wanted.size());
  for (std::size_t i = 0; i < order.size(); ++i) starts[order[i]] = found[i];
  return starts;
}

}  // namespace sheaf::slices
