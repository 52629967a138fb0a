#pragma once

#include <cstdint>

#include "base/result.h"
#include "cli/bench_texts.h"
#include "cli/load_target.h"

namespace sheaf::cli {

// How many different requests to make, so that no cache and no branch predictor learns them.
std::size_t requests_to_prepare(std::uint32_t batch_size);
void prepare_requests(LoadTarget& target, BenchTexts& texts, std::size_t count,
                      std::uint32_t batch_size);

// Texts of so many tokens: asks the server how long words are in its tokens. Where the model cuts
// them it says so on standard error.
Result<BenchTexts> texts_of_length(LoadTarget& target, std::uint32_t prompt_length,
                                   std::uint64_t seed);

}  // namespace sheaf::cli
