#include "model/distance.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace sheaf::model {
namespace {

int signed_bucket(const RelativeSpec& relative, int distance) {
  const int single = static_cast<int>(relative.buckets / 2);
  const int far = std::abs(distance);
  if (relative.buckets == 0 || far <= single) return distance;
  const auto half = static_cast<float>(single);
  const float octaves = std::log(static_cast<float>(far) / half);
  const float all_octaves = std::log((static_cast<float>(relative.reach) - 1) / half);
  const int bucket = single + static_cast<int>(std::ceil(octaves / all_octaves * (half - 1)));
  return distance < 0 ? -bucket : bucket;
}

}  // namespace

std::size_t distance_bucket(int key_less_query) {
  constexpr int kHalf = 16;
  constexpr int kSingle = 8;
  const int direction = key_less_query > 0 ? kHalf : 0;
  const int distance = std::abs(key_less_query);
  if (distance < kSingle) return static_cast<std::size_t>(direction + distance);
  const float octaves = std::log(static_cast<float>(distance) / kSingle) / std::log(16.0f);
  const int far = kSingle + static_cast<int>(octaves * (kHalf - kSingle));
  return static_cast<std::size_t>(direction + std::min(far, kHalf - 1));
}

std::vector<std::int32_t> distance_rows(const RelativeSpec& relative, int reach) {
  const auto count = static_cast<int>(relative.rows());
  std::vector<std::int32_t> rows;
  for (int distance = -reach; distance <= reach; ++distance)
    rows.push_back(std::clamp(count / 2 + signed_bucket(relative, distance), 0, count - 1));
  return rows;
}

}  // namespace sheaf::model
