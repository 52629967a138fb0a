#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// A run of a model's layers, of which a process has no others, as in Huang et al., "GPipe" (2019).
// The first stage has the words too, the last the heads.
struct Stage {
  std::uint32_t index = 0;
  std::uint32_t count = 1;
  std::uint32_t first_layer = 0;
  std::uint32_t layers = 0;  // 0, of the only one: all

  bool is_first() const { return index == 0; }
  bool is_last() const { return index + 1 == count; }
  bool operator==(const Stage&) const = default;
};

// Which process's part of a model. Its layers' products are divided over the ranks, as in Shoeybi
// et al., "Megatron-LM" (2019): each has some of the heads and some of the wide middle; tables of
// words and norms are on all. Or its layers are divided into stages.
struct Shard {
  std::uint32_t rank = 0;
  std::uint32_t ranks = 1;
  Stage stage = {};

  // How many there are of the model, and which of them this is. The last stage is number 0, since
  // it has the answers, and is followed by the first.
  std::uint32_t processes() const { return ranks * stage.count; }
  std::uint32_t process() const { return (stage.index + 1) % stage.count * ranks + rank; }
  // Of the places that a replica has, which stand in the order of its ranks or stages, its own.
  std::uint32_t place() const { return stage.index * ranks + rank; }
  bool operator==(const Shard&) const = default;
};

// The numbers of the layers that a stage has.
std::vector<std::uint32_t> layers_of(const ModelSpec& spec, const Stage& stage);

// Those of all processes of a model, by their numbers; of one that is not divided so the one stage.
std::vector<Shard> shards_of(std::uint32_t ranks, std::span<const Stage> stages);

// "rank 1 of 2" or "stage 0 of 2"
std::string text_of(const Shard& shard);

// As `sheaf-replica` is told of it: --rank R --ranks N, and of several stages --stage I --stages N
// --first-layer L --layers N.
std::vector<std::string> flags_of(const Shard& shard);

// Error of kind unsupported, naming what cannot be divided, or invalid_argument: no such rank or
// stage.
Status check_shard(const ModelSpec& spec, const Shard& shard);

}  // namespace sheaf::model
