#pragma once

#include <string>

#include "model/packed_file.h"
#include "model/weights.h"

namespace sheaf::model {

// The name under which a stack of layers is packed.
std::string packed_name(const std::vector<LinearPart>& parts);

// A packed file as a source of weights; views point into it.
class PackedWeights final : public WeightSource {
 public:
  // Both must outlive the views.
  PackedWeights(const PackedFile& file, const kernels::Backend& backend)
      : file_(file), backend_(backend) {}

  kernels::Linear linear(const std::vector<LinearPart>& parts, std::size_t inputs,
                         Bias bias) override;
  kernels::Norm norm(const std::string& name, std::size_t columns, float epsilon, NormKind kind,
                     Adjust adjust) override;
  tensor::MatrixView table(const std::string& name, std::size_t rows, std::size_t columns,
                           Adjust adjust) override;
  const float* vector(const std::string& name, std::size_t columns) override;

 private:
  const float* need(const std::string& name, std::size_t rows, std::size_t columns,
                    std::size_t floats);

  const PackedFile& file_;
  const kernels::Backend& backend_;
};

}  // namespace sheaf::model
