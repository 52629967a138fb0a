#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "kernels/findings.h"

namespace sheaf::kernels::cuda {

// The words of a cublasLtMatmulAlgo_t, which has nothing else.
using AlgorithmWords = std::array<std::uint64_t, 8>;

// All that is found by the clock on one card. Whoever lists a card's backends makes it, for all
// that are made of that list: those of a replica's streams, and of several precisions, whose
// questions say what is multiplied.
struct CardFindings {
  Findings<AlgorithmWords> algorithms;  // the fastest of a product (product.cc)
  // Whether the library has products in fp8 scaled by vectors, by a number each, and with results
  // in fp8, as far as is known.
  std::atomic<bool> vectors = true, scalars = true, codes = true;
  Findings<bool> gated_in_one, fed_forward_in_one;  // whether that is faster (faster_way.h)
};

}  // namespace sheaf::kernels::cuda
