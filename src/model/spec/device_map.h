#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/spec/shard.h"

namespace sheaf::model {

// What the parts of a model take in memory.
struct PartBytes {
  std::uint64_t words = 0;            // with positions and token types, on the first stage
  std::vector<std::uint64_t> layers;  // each
  std::uint64_t heads = 0;            // on the last stage; what pools takes nothing

  // Of a stage.
  std::uint64_t of(const Stage& stage) const;
};

// Divides the layers into rooms.size() stages, of which stage i may take rooms[i] bytes. Where
// every stage can have what it takes, the one with the most to do has as little as that allows,
// since all others wait for it; words are looked up, so work is what layers and heads weigh. Where
// that cannot be, the fullest stage, by what it takes of its room, is as little over-full as can
// be. Exact. One layer at least each: no stages where there are fewer layers, no rooms, or a room
// of 0.
std::vector<Stage> divide_layers(const PartBytes& bytes, std::span<const std::uint64_t> rooms);

// "stage 0: words, layers 0-5, 45 MiB; stage 1: layers 6-11, pooling, 40 MiB"
std::string text_of(std::span<const Stage> stages, const PartBytes& bytes);

}  // namespace sheaf::model
