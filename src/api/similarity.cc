#include "api/similarity.h"

#include <cmath>
#include <cstddef>

namespace sheaf::api {

float similarity_of(model::Similarity how, std::span<const float> a, std::span<const float> b) {
  double product = 0, squares = 0, steps = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double step = double{a[i]} - double{b[i]};
    product += double{a[i]} * double{b[i]};
    squares += step * step;
    steps += std::abs(step);
  }
  switch (how) {
    case model::Similarity::cosine:
    case model::Similarity::dot:
      return static_cast<float>(product);
    case model::Similarity::euclidean:
      return static_cast<float>(-std::sqrt(squares));
    case model::Similarity::manhattan:
      return static_cast<float>(-steps);
  }
  return 0;
}

}  // namespace sheaf::api
