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

Status pack_with(Write write, const std::string& backend_name, const Source& source, int fd) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const auto backend, kernels::make_backend(backend_name, {}));
  SHEAF_ASSIGN(model::StoredWeights weights,
               model::StoredWeights::open(source.folder, spec, source.shard));
  weights.pack_for(*backend);
  model::make_model(spec, weights);  // these bind all
  model::DenseHead(spec, weights);
  model::SparseHead(spec, weights);
  model::TokenHead(spec, weights);
  SHEAF_TRY(weights.status());
  return write(fd, {spec, backend_name, source.shard}, weights.take_tensors());
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
                const std::string& pooling, model::Shard shard) {
  return pack_with(model::write_packed_file, backend, {folder, pooling, {}, shard}, fd);
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
