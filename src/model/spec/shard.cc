#include "model/spec/shard.h"

#include <fmt/core.h>

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

}  // namespace

Status check_shard(const ModelSpec& spec, Shard shard) {
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
