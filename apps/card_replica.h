#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/footprint.h"
#include "kernels/cuda/absent.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/product.h"
#include "kernels/ops.h"
#include "replica/program.h"

// What the replicas for cards have in common, the one for NVIDIA's and the tests' emulated one.
namespace sheaf::cards {

struct Parts {
  std::string prefix;                            // of its backends' names: "cuda "
  std::vector<kernels::DeviceBackend> backends;  // those that compute
  std::function<Result<replica::CardReport>()> cards;
};

// Weights are laid out and memory is estimated where no card is, and where there is one without a
// context on it.
inline bool needs_card(std::string_view mode) {
  return mode != "pack" && mode != "estimate" && mode != "parts";
}

inline std::string backend_name(const std::string& prefix, tensor::Dtype dtype) {
  const std::string name = engine::backend_name(dtype);
  return name.starts_with(prefix) ? name : "";
}

// Of the card's memory, what is told of each token of a batch, and so of no operation that the dry
// run sees: its word, place, text and tile, with room to spare.
inline constexpr std::uint64_t kBytesPerToken = 32;

inline Result<engine::Footprint> footprint(const kernels::cuda::CardMemoryUse& use,
                                           const engine::Source& source,
                                           std::uint32_t max_batch_tokens, int threads) {
  SHEAF_ASSIGN(engine::Footprint found, engine::footprint_of(source, max_batch_tokens, threads));
  found.on_card = engine::Footprint::OnCard{
      .weights_bytes = found.weights_bytes,
      .working_set_bytes = use.most_bytes - std::min(use.most_bytes, found.weights_bytes) +
                           kBytesPerToken * max_batch_tokens,
      .workspace_bytes = kernels::cuda::kWorkspaceBytes,
      .context_bytes =
          kernels::cuda::kContextBytes + (source.shard.ranks > 1 ? kernels::cuda::kNcclBytes : 0)};
  return found;
}

using Open = decltype(replica::Backend::open);

// A card loads code at the first launch of each kernel, and the library for products finds its
// algorithms then: a text of one token, so that this is part of the start, and no request waits for
// it or makes its replica seem to hang.
inline Result<std::unique_ptr<engine::Engine>> open_warm(const Open& open, Mapping packed,
                                                         engine::EngineOptions options) {
  SHEAF_ASSIGN(auto engine, open(std::move(packed), options));
  if (options.communicator != nullptr) SHEAF_TRY(options.communicator->meet());
  const std::int32_t ids[] = {0};
  const std::uint32_t bounds[] = {0, 1};
  const engine::ItemOptions items[] = {{.output = engine->spec().main_output()}};
  engine::Rows out;
  SHEAF_TRY(engine->embed({ids, bounds, items}, out));
  return engine;
}

inline int run_program(int argc, char** argv, Parts parts, const Open& open) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const auto use = std::make_shared<kernels::cuda::CardMemoryUse>();
  kernels::add_device_backends(needs_card(mode)
                                   ? std::move(parts.backends)
                                   : kernels::cuda::absent_card_backends(parts.prefix, use));
  const auto& prefix = parts.prefix;
  replica::Backend backend;
  backend.pack = engine::pack;
  backend.open = [&open](Mapping packed, engine::EngineOptions options) {
    return open_warm(open, std::move(packed), options);
  };
  backend.footprint = [&](const engine::Source& source, std::uint32_t tokens, int threads) {
    return footprint(*use, source, tokens, threads);
  };
  backend.backend_name = [&](tensor::Dtype dtype) { return backend_name(prefix, dtype); };
  backend.cards = std::move(parts.cards);
  return replica::run_program(argc, argv, backend);
}

}  // namespace sheaf::cards
