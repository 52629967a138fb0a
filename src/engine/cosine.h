#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace sheaf::engine {

// Of two vectors as long as each other, for tests.
inline double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

}  // namespace sheaf::engine
