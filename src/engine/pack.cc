#include "engine/pack.h"

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

using Write = Status(int fd, const model::ModelSpec& spec, const std::string& backend,
                     std::vector<model::PackedTensorSource> tensors);

Status pack_with(Write write, const std::string& backend_name, const std::string& folder,
                 const std::string& pooling, int fd) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(folder, pooling));
  SHEAF_ASSIGN(const auto backend, kernels::make_backend(backend_name, {}));
  SHEAF_ASSIGN(model::StoredWeights weights, model::StoredWeights::open(folder, spec));
  weights.pack_for(*backend);
  model::make_model(spec, weights);  // these bind all
  model::DenseHead(spec, weights);
  model::SparseHead(spec, weights);
  model::TokenHead(spec, weights);
  SHEAF_TRY(weights.status());
  return write(fd, spec, backend_name, weights.take_tensors());
}

}  // namespace

Status pack_for(const std::string& backend, const std::string& folder, int fd,
                const std::string& pooling) {
  return pack_with(model::write_packed_file, backend, folder, pooling, fd);
}

Status pack_outline(const std::string& folder, const std::string& pooling, int fd) {
  return pack_with(model::write_packed_outline, kernels::backend_names().front(), folder, pooling,
                   fd);
}

Status pack(const std::string& folder, const std::string& pooling, int fd) {
  return pack_for(kernels::backend_names().front(), folder, fd, pooling);
}

}  // namespace sheaf::engine
