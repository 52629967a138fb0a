#pragma once

#include <cstddef>
#include <random>
#include <vector>

// For tests alone.
namespace sheaf::kernels {

// Around 0, with `scale` as their deviation; the same for a seed.
inline std::vector<float> normal_values(std::size_t count, float scale, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

}  // namespace sheaf::kernels
