#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/packed_file.h"
#include "model/spec/checkpoint.h"
#include "model/spec/spec.h"
#include "model/weights.h"

namespace sheaf::model {

// What a norm multiplies by and adds.
struct StoredNorm {
  const StoredTensor* scale = nullptr;
  const StoredTensor* shift = nullptr;  // null: nothing
  Adjust of_scale;
};

struct StoredLinear;

// A model's checkpoint as a source of weights to pack: it notes what an architecture binds and
// hands out no data. F32, F16 and BF16 tensors are taken; names may carry a prefix.
class StoredWeights final : public WeightSource {
 public:
  // One rank's. Errors as check_shard() and check_fp8_layers() say.
  static Result<StoredWeights> open(const std::string& folder, const ModelSpec& spec,
                                    Shard shard = {}, Fp8Layers fp8_layers = {});

  // Lays out linear layers as `backend` wants them, which must live until the tensors are written,
  // as must this object.
  void pack_for(kernels::Backend& backend) { backend_ = &backend; }
  std::vector<PackedTensorSource> take_tensors() { return std::exchange(tensors_, {}); }
  // What is bound from now on is of this shard, which nobody checks.
  void limit_to(const Shard& shard) { shard_ = shard; }

  kernels::Linear linear(const std::vector<LinearPart>& parts, std::size_t inputs, Bias bias,
                         Split split, const std::string& input, Role role) override;
  kernels::Norm norm(const std::string& name, std::size_t columns, float epsilon, NormKind kind,
                     Adjust adjust) override;
  tensor::MatrixView table(const std::string& name, std::size_t rows, std::size_t columns,
                           Adjust adjust) override;
  const float* vector(const std::string& name, std::size_t columns) override;
  kernels::Linear row_product(const std::string& table, std::size_t rows, std::size_t columns,
                              const std::vector<std::uint32_t>& chosen) override;
  const float* head_weights(const StoredVectors& vectors, const LinearPart& part,
                            std::size_t heads) override;
  Shard shard() const override { return shard_; }
  const Fp8Layers& fp8_layers() const override { return fp8_layers_; }

 private:
  StoredWeights(Checkpoint checkpoint, std::string folder, Shard shard, Fp8Layers fp8_layers);

  // The stored tensor of this name and shape, else null and the reason kept; `old_name` if the
  // first is absent.
  const StoredTensor* need(const std::string& name, const std::string& old_name,
                           std::vector<std::uint64_t> shape);
  const StoredNorm* find_norm(const std::string& name);
  // Says what `linear` takes, by the name of a norm, or of a product behind one.
  void find_input(const std::string& name, StoredLinear& linear);
  void find_prefix(const std::string& first_name);
  void plan_copy(const std::string& name, const StoredTensor* tensor, std::size_t rows,
                 std::size_t columns, Adjust adjust);

  Checkpoint checkpoint_;
  std::string folder_;
  Shard shard_;
  Fp8Layers fp8_layers_;
  std::string prefix_;
  bool prefix_known_ = false;
  kernels::Backend* backend_ = nullptr;
  std::vector<PackedTensorSource> tensors_;
  std::map<std::string, StoredNorm> norms_;  // those that were bound
  // Products of what norms write, by name, for what takes their outputs.
  std::map<std::string, std::shared_ptr<const StoredLinear>> behind_norms_;
};

}  // namespace sheaf::model
