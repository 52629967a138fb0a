#pragma once

#include <cstdint>
#include <string>

#include "model/spec/spec.h"

namespace sheaf::model {

// Far above every model that exists, and low enough that products of two sizes fit 64 bits with
// room to spare.
constexpr std::uint32_t kMaxHidden = 1u << 16;
constexpr std::uint32_t kMaxIntermediate = 1u << 20;
constexpr std::uint32_t kMaxLayers = 1u << 10;
constexpr std::uint32_t kMaxVocab = 1u << 24;
constexpr std::uint32_t kMaxPositions = 1u << 20;
constexpr std::uint32_t kMaxExperts = 1u << 10;
constexpr std::uint32_t kMaxHeadSize = 1u << 16;
constexpr std::uint64_t kMaxHeadColumns = 1u << 20;  // of all heads of queries side by side

// The only number that MPNet's code can have.
constexpr std::uint32_t kDistanceBuckets = 32;

// Whether distances beyond half the buckets can share the other half, of which none is skipped:
// log(reach / half) must tell them apart.
bool can_share(const RelativeSpec& relative);

// Whether the numbers of a description agree with each other; what the engine then relies on.
// Errors name `file` and the field.
Status check_limits(const ModelSpec& spec, const std::string& file);

}  // namespace sheaf::model
