#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// Which rank's part of a model: its layers' products are divided over the ranks, as in Shoeybi et
// al., "Megatron-LM" (2019). Each has some of the heads and some of the wide middle; tables of
// words and norms are on all.
struct Shard {
  std::uint32_t rank = 0;
  std::uint32_t ranks = 1;

  bool operator==(const Shard&) const = default;
};

// Error of kind unsupported, naming what cannot be divided, or invalid_argument: no such rank.
Status check_shard(const ModelSpec& spec, Shard shard);

}  // namespace sheaf::model
