#include "engine/pack.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <string_view>

#include "engine/engine.h"
#include "kernels/ops.h"
#include "model/dense_head.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "model/sparse_head.h"
#include "model/stored_weights.h"
#include "model/token_head.h"

namespace sheaf::engine {

namespace {

using Write = Status(int fd, const model::PackedHead& head,
                     std::vector<model::PackedTensorSource> tensors);

// Notes in `weights` all that its shard packs.
Status bind_all(const model::ModelSpec& spec, model::StoredWeights& weights) {
  model::make_model(spec, weights);
  model::DenseHead(spec, weights);
  model::SparseHead(spec, weights);
  model::TokenHead(spec, weights);
  return weights.status();
}

Status pack_with(Write write, const std::string& backend_name, const Source& source, int fd) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const auto backend, kernels::make_backend(backend_name, {}));
  if (source.fp8_layers && backend->dtype() != tensor::Dtype::fp8)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} layers are to be in fp8, and the model in {}",
                             source.fp8_layers->size(), name_of(backend->dtype()))};
  SHEAF_ASSIGN(model::StoredWeights weights,
               model::StoredWeights::open(source.folder, spec, source.shard, source.fp8_layers));
  weights.pack_for(*backend);
  SHEAF_TRY(bind_all(spec, weights));
  return write(fd, {spec, backend_name, source.shard, source.fp8_layers}, weights.take_tensors());
}

Result<std::string> fastest_backend(tensor::Dtype dtype) {
  if (std::string name = backend_name(dtype); !name.empty()) return name;
  std::vector<std::string_view> others;
  for (const tensor::Dtype other : tensor::kDtypes)
    if (!backend_name(other).empty()) others.push_back(name_of(other));
  return Error{ErrorCode::unsupported,
               fmt::format("this processor has no instructions for {}; it can compute in {}",
                           name_of(dtype), fmt::join(others, ", "))};
}

}  // namespace

std::string backend_name(tensor::Dtype dtype) {
  const std::vector<std::string> names = kernels::backend_names(dtype);
  return names.empty() ? "" : names.front();
}

Status pack_for(const std::string& backend, const std::string& folder, int fd,
                const std::string& pooling, model::Shard shard, model::Fp8Layers fp8_layers) {
  const Source source{folder, pooling, {}, shard, std::move(fp8_layers)};
  return pack_with(model::write_packed_file, backend, source, fd);
}

Result<model::PartBytes> part_bytes(const Source& source) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const std::string name, fastest_backend(source.dtype));
  SHEAF_ASSIGN(const auto backend, kernels::make_backend(name, {}));
  SHEAF_ASSIGN(model::StoredWeights weights,
               model::StoredWeights::open(source.folder, spec, {}, source.fp8_layers));
  weights.pack_for(*backend);
  // Of one layer alone, as if on a stage between others, or on the first or the last of three.
  const auto bytes_of = [&](std::uint32_t layer, std::uint32_t index) -> Result<std::uint64_t> {
    weights.limit_to({.stage = {index, 3, layer, 1}});
    SHEAF_TRY(bind_all(spec, weights));
    std::uint64_t bytes = 0;
    for (const model::PackedTensorSource& one : weights.take_tensors())
      bytes += one.tensor.floats * sizeof(float);
    return bytes;
  };
  model::PartBytes parts;
  for (std::uint32_t layer = 0; layer < spec.layers; ++layer) {
    SHEAF_ASSIGN(const std::uint64_t bytes, bytes_of(layer, 1));
    parts.layers.push_back(bytes);
  }
  SHEAF_ASSIGN(const std::uint64_t with_words, bytes_of(0, 0));
  SHEAF_ASSIGN(const std::uint64_t with_heads, bytes_of(spec.layers - 1, 2));
  parts.words = with_words - parts.layers.front();
  parts.heads = with_heads - parts.layers.back();
  return parts;
}

Status pack_outline(const Source& source, int fd) {
  SHEAF_ASSIGN(const std::string backend, fastest_backend(source.dtype));
  return pack_with(model::write_packed_outline, backend, source, fd);
}

Status pack(const Source& source, int fd) {
  SHEAF_ASSIGN(const std::string backend, fastest_backend(source.dtype));
  return pack_with(model::write_packed_file, backend, source, fd);
}

}  // namespace sheaf::engine
