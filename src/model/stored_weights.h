#pragma once

#include <string>
#include <vector>

#include "base/mapping.h"
#include "model/packed_file.h"
#include "model/spec/safetensors.h"
#include "model/weights.h"

namespace sheaf::model {

// A model.safetensors file as a source of weights to pack: it notes what an architecture binds and
// hands out no data. F32, F16 and BF16 tensors are taken; names may carry a prefix.
class StoredWeights final : public WeightSource {
 public:
  static Result<StoredWeights> open(const std::string& path);

  // Lays out linear layers as `backend` wants them, which must live until the tensors are written,
  // as must this object.
  void pack_for(const kernels::Backend& backend) { backend_ = &backend; }
  std::vector<PackedTensorSource> take_tensors() { return std::move(tensors_); }

  kernels::Linear linear(const std::vector<LinearPart>& parts, std::size_t inputs,
                         Bias bias) override;
  kernels::Norm norm(const std::string& name, std::size_t columns, float epsilon,
                     NormKind kind) override;
  tensor::MatrixView table(const std::string& name, std::size_t rows, std::size_t columns) override;

 private:
  StoredWeights(Mapping file, TensorTable table, std::string path);

  // The stored tensor of this name and shape, else null and the reason kept; `old_name` if the
  // first is absent.
  const TensorEntry* need(const std::string& name, const std::string& old_name,
                          std::vector<std::uint64_t> shape);
  void find_prefix(const std::string& first_name);
  void read(const TensorEntry& entry, float* out) const;
  void read_all(const std::vector<const TensorEntry*>& entries, float* out) const;
  void plan_copy(const std::string& name, const TensorEntry* entry, std::size_t rows,
                 std::size_t columns);

  Mapping file_;
  TensorTable table_;
  std::string path_;
  std::string prefix_;
  bool prefix_known_ = false;
  const kernels::Backend* backend_ = nullptr;
  std::vector<PackedTensorSource> tensors_;
};

}  // namespace sheaf::model
