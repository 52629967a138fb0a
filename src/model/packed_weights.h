#pragma once

#include <map>
#include <span>
#include <string>

#include "model/packed_file.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// The name under which a stack of layers is packed.
std::string packed_name(const std::vector<LinearPart>& parts);

// The same of a layer's product with stored vectors.
std::string packed_name(const StoredVectors& vectors, const LinearPart& part);

// A packed file as a source of weights. Views point into it, or, of a device with memory of its
// own, into a copy of the whole file there: one that the device shares with other processes, or
// this object's own.
class PackedWeights final : public WeightSource {
 public:
  // Both must outlive the views.
  PackedWeights(const PackedFile& file, const kernels::Backend& backend);

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
  Shard shard() const override { return file_.shard(); }
  const Fp8Layers& fp8_layers() const override { return file_.fp8_layers(); }
  tensor::Memory& memory() const override { return backend_.memory(); }

 private:
  const float* need(const std::string& name, std::size_t rows, std::size_t columns,
                    std::size_t floats);
  const std::byte* in_memory(std::span<const std::byte> file);
  void bind_bias(const std::string& name, kernels::Linear& linear);

  const PackedFile& file_;
  const kernels::Backend& backend_;
  tensor::Buffer copy_;           // of the file, if it is this object's own
  const std::byte* const begin_;  // of the file where operations read it
  std::map<const float*, tensor::Buffer> rounded_biases_;  // to the dtype of states
};

}  // namespace sheaf::model
