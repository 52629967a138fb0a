#include "model/packed_weights.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace sheaf::model {

std::string packed_name(std::initializer_list<std::string> parts) {
  return fmt::format("{}", fmt::join(parts.begin(), parts.end(), "+"));
}

const float* PackedWeights::need(const std::string& name, std::size_t rows, std::size_t columns,
                                 std::size_t floats) {
  auto found = file_.find(name, rows, columns, floats);
  if (found.ok()) return *found;
  keep_first(std::move(found).error());
  return nullptr;
}

kernels::Linear PackedWeights::linear(std::initializer_list<std::string> parts, std::size_t inputs,
                                      std::size_t outputs) {
  const std::string name = packed_name(parts);
  return {
      .weight = need(name + ".weight", outputs, inputs, backend_.packed_floats(inputs, outputs)),
      .bias = need(name + ".bias", 1, outputs, outputs),
      .inputs = inputs,
      .outputs = outputs};
}

kernels::Norm PackedWeights::norm(const std::string& name, std::size_t columns, float epsilon) {
  return {.scale = need(name + ".weight", 1, columns, columns),
          .shift = need(name + ".bias", 1, columns, columns),
          .epsilon = epsilon};
}

tensor::MatrixView PackedWeights::table(const std::string& name, std::size_t rows,
                                        std::size_t columns) {
  return {need(name + ".weight", rows, columns, rows * columns), rows, columns};
}

}  // namespace sheaf::model
