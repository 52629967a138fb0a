#pragma once

#include <span>

#include "model/spec/spec.h"

namespace sheaf::api {

// How near two vectors are; more is nearer. For the cosine both have length 1 already.
float similarity_of(model::Similarity how, std::span<const float> a, std::span<const float> b);

}  // namespace sheaf::api
