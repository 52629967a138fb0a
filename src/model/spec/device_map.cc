#include "model/spec/device_map.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace sheaf::model {
namespace {

// Bytes of so much room; compared exactly, as products of 128 bits.
struct Share {
  std::uint64_t bytes = 0;
  std::uint64_t room = 1;

  bool operator<(const Share& other) const {
    return static_cast<unsigned __int128>(bytes) * other.room <
           static_cast<unsigned __int128>(other.bytes) * room;
  }
};
constexpr Share kTooMuch = {~std::uint64_t{0}, 1};

struct Map {
  Share most = kTooMuch;
  std::vector<Stage> stages;
};

std::uint32_t steps_between(std::uint32_t a, std::uint32_t b) { return a < b ? b - a : a - b; }

// The map whose dearest stage costs the least, and of several the most even one; cost(i, first,
// end) is what layers [first, end) cost on stage i. By dynamic programming over the first layers on
// the first stages.
template <class Cost>
Map cheapest_map(std::uint32_t layers, std::uint32_t count, Cost cost) {
  // least[i][end]: of layers [0, end) on stages 0 .. i.
  std::vector<std::vector<Share>> least(count, std::vector<Share>(layers + 1, kTooMuch));
  for (std::uint32_t end = 1; end <= layers; ++end) least[0][end] = cost(0, 0, end);
  // If stage i begins there.
  const auto most_with = [&](std::uint32_t i, std::uint32_t first, std::uint32_t end) {
    return std::max(least[i - 1][first], cost(i, first, end));
  };
  for (std::uint32_t i = 1; i < count; ++i)
    for (std::uint32_t end = i + 1; end <= layers; ++end)
      for (std::uint32_t first = i; first < end; ++first)
        least[i][end] = std::min(least[i][end], most_with(i, first, end));
  Map map{least[count - 1][layers], std::vector<Stage>(count)};
  std::uint32_t end = layers;
  for (std::uint32_t i = count; i-- > 0;) {
    const std::uint32_t even = end * i / (i + 1);
    std::uint32_t first = 0;
    for (std::uint32_t tried = i; i > 0 && tried < end; ++tried)
      if (!(map.most < most_with(i, tried, end)) &&
          (first == 0 || steps_between(tried, even) < steps_between(first, even)))
        first = tried;
    map.stages[i] = {i, count, first, end - first};
    end = first;
  }
  return map;
}

}  // namespace

std::uint64_t PartBytes::of(const Stage& stage) const {
  const auto first = layers.begin() + stage.first_layer;
  const auto count = stage.count == 1 ? layers.size() : stage.layers;
  return std::accumulate(first, first + static_cast<std::ptrdiff_t>(count), std::uint64_t{0}) +
         (stage.is_first() ? words : 0) + (stage.is_last() ? heads : 0);
}

std::vector<Stage> divide_layers(const PartBytes& bytes, std::span<const std::uint64_t> rooms) {
  const auto layers = static_cast<std::uint32_t>(bytes.layers.size());
  const auto count = static_cast<std::uint32_t>(rooms.size());
  if (count == 0 || count > layers || std::ranges::find(rooms, 0u) != rooms.end()) return {};
  std::vector<std::uint64_t> sums = {0};  // of the layers before
  for (const std::uint64_t layer : bytes.layers) sums.push_back(sums.back() + layer);
  const auto work = [&](std::uint32_t i, std::uint32_t first, std::uint32_t end) -> Share {
    return {sums[end] - sums[first] + (i + 1 == count ? bytes.heads : 0), 1};
  };
  const auto fullness = [&](std::uint32_t i, std::uint32_t first, std::uint32_t end) -> Share {
    return {work(i, first, end).bytes + (i == 0 ? bytes.words : 0), rooms[i]};
  };
  const Share full = {1, 1};
  const Share most = std::max(full, cheapest_map(layers, count, fullness).most);
  return cheapest_map(layers, count,
                      [&](std::uint32_t i, std::uint32_t first, std::uint32_t end) {
                        return most < fullness(i, first, end) ? kTooMuch : work(i, first, end);
                      })
      .stages;
}

std::string text_of(std::span<const Stage> stages, const PartBytes& bytes) {
  std::string text;
  for (const Stage& stage : stages) {
    const std::uint32_t last = stage.first_layer + stage.layers - 1;
    text += fmt::format("{}stage {}: {}{}{}, {}", stage.is_first() ? "" : "; ", stage.index,
                        stage.is_first() ? "words, " : "",
                        stage.layers == 1 ? fmt::format("layer {}", last)
                                          : fmt::format("layers {}-{}", stage.first_layer, last),
                        stage.is_last() ? ", pooling" : "",
                        human_bytes(static_cast<double>(bytes.of(stage))));
  }
  return text;
}

}  // namespace sheaf::model
