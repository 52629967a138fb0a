#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/spec/spec.h"

// How models that attend by distance group the far distances. In float, as the models were trained:
// where a boundary lies depends on the rounding.
namespace sheaf::model {

// Raffel et al., "T5" (2020), bidirectional, as MPNet has it: half of the 32 buckets for each
// direction, of which half again are single distances and the rest grow with the logarithm up to
// 128.
std::size_t distance_bucket(int key_less_query);

// He et al., "DeBERTa" (2021): the row of the position vectors for query - key in [-reach, reach],
// at index reach + query - key. Half of the buckets each way are single distances, and the rest
// grow with the logarithm up to relative.reach; without buckets all are single.
std::vector<std::int32_t> distance_rows(const RelativeSpec& relative, int reach);

}  // namespace sheaf::model
