#include "model/rotary.h"

#include <cmath>

namespace sheaf::model {

RotaryTable::RotaryTable(std::size_t positions, std::size_t pairs, double theta) : pairs_(pairs) {
  std::vector<double> speeds;
  for (std::size_t i = 0; i < pairs; ++i)
    speeds.push_back(std::pow(theta, -static_cast<double>(i) / static_cast<double>(pairs)));
  cosines_.reserve(positions * pairs);
  sines_.reserve(positions * pairs);
  for (std::size_t position = 0; position < positions; ++position)
    for (const double speed : speeds) {
      const double angle = static_cast<double>(position) * speed;
      cosines_.push_back(static_cast<float>(std::cos(angle)));
      sines_.push_back(static_cast<float>(std::sin(angle)));
    }
}

}  // namespace sheaf::model
