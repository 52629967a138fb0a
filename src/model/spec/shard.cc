#include "model/spec/shard.h"

#include <fmt/core.h>

#include <numeric>

namespace sheaf::model {
namespace {

bool can_be_divided(const ModelSpec& spec) {
  switch (spec.architecture) {
    case Architecture::bert:
    case Architecture::distilbert:
    case Architecture::decoder:
    case Architecture::gemma3:
      return true;
    default:
      return false;
  }
}

Status check_stage(const ModelSpec& spec, const Stage& stage) {
  if (stage.index >= stage.count)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("there is no stage {} of {}", stage.index, stage.count)};
  if (stage.count > spec.layers)
    return Error{ErrorCode::unsupported, fmt::format("{} layers cannot be divided into {} stages",
                                                     spec.layers, stage.count)};
  const bool all = stage.count == 1 && stage.layers == 0;
  const std::uint64_t end = std::uint64_t{stage.first_layer} + (all ? spec.layers : stage.layers);
  const bool begins =
      stage.first_layer >= stage.index && (stage.index > 0 || stage.first_layer == 0);
  const bool ends = end <= spec.layers && (!stage.is_last() || end == spec.layers);
  if (begins && ends && (all || stage.layers > 0)) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("stage {} of {} cannot have layers [{}, {}) of {}", stage.index,
                           stage.count, stage.first_layer, end, spec.layers)};
}

}  // namespace

std::vector<std::uint32_t> layers_of(const ModelSpec& spec, const Stage& stage) {
  std::vector<std::uint32_t> layers(stage.count == 1 ? spec.layers : stage.layers);
  std::iota(layers.begin(), layers.end(), stage.first_layer);
  return layers;
}

std::vector<Shard> shards_of(std::uint32_t ranks, std::span<const Stage> stages) {
  std::vector<Shard> shards(ranks * stages.size());
  for (const Stage& stage : stages)
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      const Shard shard{rank, ranks, stage};
      shards.at(shard.process()) = shard;
    }
  return shards;
}

std::string text_of(const Shard& shard) {
  if (shard.stage.count == 1) return fmt::format("rank {} of {}", shard.rank, shard.ranks);
  return fmt::format("stage {} of {}", shard.stage.index, shard.stage.count);
}

std::vector<std::string> flags_of(const Shard& shard) {
  std::vector<std::string> flags = {"--rank", std::to_string(shard.rank), "--ranks",
                                    std::to_string(shard.ranks)};
  const Stage& stage = shard.stage;
  if (stage.count == 1) return flags;
  flags.insert(flags.end(),
               {"--stage", std::to_string(stage.index), "--stages", std::to_string(stage.count),
                "--first-layer", std::to_string(stage.first_layer), "--layers",
                std::to_string(stage.layers)});
  return flags;
}

Status check_shard(const ModelSpec& spec, const Shard& shard) {
  SHEAF_TRY(check_stage(spec, shard.stage));
  if (shard.ranks > 1 && shard.stage.count > 1)
    return Error{ErrorCode::unsupported,
                 "a model is divided over ranks or into stages, not both at once"};
  if (shard.rank >= shard.ranks)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("there is no rank {} of {}", shard.rank, shard.ranks)};
  if (shard.ranks == 1) return {};
  if (!can_be_divided(spec))
    return Error{ErrorCode::unsupported,
                 fmt::format("{} models cannot be divided over ranks", spec.model_type)};
  struct Count {
    const char* what;
    std::size_t count;
  };
  for (const Count& count : {Count{"heads", spec.heads}, Count{"heads of keys", spec.kv_heads},
                             Count{"columns between", spec.intermediate_size}})
    if (count.count % shard.ranks != 0)
      return Error{ErrorCode::unsupported, fmt::format("{} {} cannot be divided over {} ranks",
                                                       count.count, count.what, shard.ranks)};
  return {};
}

}  // namespace sheaf::model
