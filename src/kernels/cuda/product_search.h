#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

// How the fastest way to a product is looked for, among a library's algorithms (product.cc) and
// beside it (faster_way.h): batches differ in their rows, and what was timed for one has to serve
// its likes.
namespace sheaf::kernels::cuda {

// The most rows for which that holds which was found for `rows`, above 0: multiples of 8 up to 64,
// then four steps to an octave, so that no two batches that share it differ by more than a quarter.
constexpr std::size_t rows_of_search(std::size_t rows) {
  std::size_t step = 8;
  while (step * 8 < rows) step *= 2;
  return (rows + step - 1) / step * step;
}

// Which of these times, of one at least, is taken: the first, what the library proposes, unless
// another is shorter by more than a card's times differ by themselves. So replicas choose alike,
// and round alike, where nothing is to be gained.
constexpr std::size_t fastest(std::span<const float> times) {
  constexpr float kWorthwhile = 0.97F;
  const auto least = std::ranges::min_element(times);
  return *least < kWorthwhile * times.front() ? static_cast<std::size_t>(least - times.begin()) : 0;
}

// The shortest of a few times, which `time` takes; it was run before, so that the card has its
// code.
template <class Time>
float shortest(const Time& time) {
  constexpr int kTimes = 3;
  float least = std::numeric_limits<float>::infinity();
  for (int i = 0; i < kTimes; ++i) least = std::min(least, time());
  return least;
}

}  // namespace sheaf::kernels::cuda
