#include "model/packed_weights.h"

#include <cstdint>
#include <span>

#include "tensor/bfloat16.h"

namespace sheaf::model {

std::string packed_name(const std::vector<LinearPart>& parts) {
  std::string name;
  for (const LinearPart& part : parts) {
    name.append(name.empty() ? "" : "+").append(part.name);
    if (part.stored_rows > 0) name.append("[" + std::to_string(part.first_row) + "]");
  }
  return name;
}

std::string packed_name(const StoredVectors& vectors, const LinearPart& part) {
  return part.name + "(" + vectors.table + ")";
}

PackedWeights::PackedWeights(const PackedFile& file, const kernels::Backend& backend)
    : file_(file), backend_(backend), begin_(in_memory(file.bytes())) {}

const std::byte* PackedWeights::in_memory(std::span<const std::byte> file) {
  if (memory().is_host()) return file.data();
  if (const std::byte* shared = memory().share(file, file_.head_bytes())) return shared;
  // Files end at a multiple of a float, as tensors do.
  return reinterpret_cast<const std::byte*>(copy_.hold(
      std::span(reinterpret_cast<const float*>(file.data()), file.size() / sizeof(float)),
      memory()));
}

const float* PackedWeights::need(const std::string& name, std::size_t rows, std::size_t columns,
                                 std::size_t floats) {
  auto found = file_.find(name, rows, columns, floats);
  if (!found.ok()) {
    keep_first(std::move(found).error());
    return nullptr;
  }
  if (begin_ == nullptr) return nullptr;  // the device has no room, as its status says
  const auto offset = reinterpret_cast<const std::byte*>(*found) - file_.bytes().data();
  return reinterpret_cast<const float*>(begin_ + offset);
}

kernels::Linear PackedWeights::linear(const std::vector<LinearPart>& parts, std::size_t inputs,
                                      Bias bias, Split split, const std::string& /*input*/,
                                      Role role) {
  const std::string name = packed_name(parts);
  kernels::Linear linear{.inputs = split == Split::inputs ? share_of(inputs) : inputs,
                         .role = role,
                         .partial = split == Split::inputs && shard().ranks > 1};
  for (const LinearPart& part : parts)
    linear.outputs += split == Split::outputs ? share_of(part.outputs) : part.outputs;
  linear.weight = need(name + ".weight", linear.outputs, linear.inputs,
                       backend_.packed_floats(linear.inputs, linear.outputs, role));
  if (bias == Bias::stored) bind_bias(name + ".bias", linear);
  return linear;
}

void PackedWeights::bind_bias(const std::string& name, kernels::Linear& linear) {
  linear.bias = need(name, 1, linear.outputs, linear.outputs);
  if (linear.bias == nullptr || memory().is_host() ||
      backend_.state_dtype() == tensor::Dtype::float32)
    return;
  const float* values = *file_.find(name, 1, linear.outputs, linear.outputs);
  tensor::Buffer& copy = rounded_biases_[values];
  if (copy.bytes() == 0) {
    const auto words = tensor::to_bfloat16({values, linear.outputs});
    copy.hold(std::span<const std::uint32_t>(words), memory());
  }
  linear.state_bias = reinterpret_cast<const std::byte*>(copy.reserve(0));
}

kernels::Norm PackedWeights::norm(const std::string& name, std::size_t columns, float epsilon,
                                  NormKind kind, Adjust /*adjust*/) {
  kernels::Norm norm{.epsilon = epsilon, .centered = kind != NormKind::rms};
  norm.scale = need(name + ".weight", 1, columns, columns);
  if (kind == NormKind::layer) norm.shift = need(name + ".bias", 1, columns, columns);
  return norm;
}

kernels::Linear PackedWeights::row_product(const std::string& table, std::size_t /*rows*/,
                                           std::size_t columns,
                                           const std::vector<std::uint32_t>& /*chosen*/) {
  return {.weight = need(table + ".rows", 1, columns, backend_.packed_floats(columns, 1)),
          .inputs = columns,
          .outputs = 1};
}

const float* PackedWeights::head_weights(const StoredVectors& vectors, const LinearPart& part,
                                         std::size_t heads) {
  return need(packed_name(vectors, part), vectors.rows, part.outputs,
              heads * backend_.packed_table_floats(part.outputs / heads, vectors.rows));
}

tensor::MatrixView PackedWeights::table(const std::string& name, std::size_t rows,
                                        std::size_t columns, Adjust /*adjust*/) {
  return {need(name + ".weight", rows, columns, rows * columns), rows, columns};
}

const float* PackedWeights::vector(const std::string& name, std::size_t columns) {
  return need(name, 1, columns, columns);
}

}  // namespace sheaf::model
