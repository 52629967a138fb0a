#pragma once

#include <memory>
#include <string>
#include <utility>

#include "kernels/ops.h"

namespace sheaf::kernels {

// What stands around a real backend answers as that one does, but for its operations.
class Wrapped : public Backend {
 public:
  explicit Wrapped(std::unique_ptr<Backend> real) : real_(std::move(real)) {}

  std::string name() const override { return real_->name(); }
  tensor::Memory& memory() const override { return real_->memory(); }
  Status status() const override { return real_->status(); }
  Result<std::unique_ptr<Sums>> join(Communicator& group) override { return real_->join(group); }
  Dtype dtype() const override { return real_->dtype(); }
  Dtype state_dtype() const override { return real_->state_dtype(); }
  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role role) const override {
    return real_->packed_floats(inputs, outputs, role);
  }
  void pack_linear(MatrixView weight, const Known& known, float* packed, Role role) const override {
    real_->pack_linear(weight, known, packed, role);
  }
  std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const override {
    return real_->packed_table_floats(inputs, outputs);
  }
  void pack_table(MatrixView table, float* packed) const override {
    real_->pack_table(table, packed);
  }
  void begin_pass(std::span<const std::uint32_t> shape,
                  std::span<const std::uint32_t> cu_seqlens) override {
    real_->begin_pass(shape, cu_seqlens);
  }
  std::size_t fill_step(std::size_t rows) const override { return real_->fill_step(rows); }
  std::size_t preferred_rows(std::size_t columns) const override {
    return real_->preferred_rows(columns);
  }
  std::size_t row_step() const override { return real_->row_step(); }
  std::size_t linear_floats(std::size_t rows, std::size_t inputs) const override {
    return real_->linear_floats(rows, inputs);
  }
  std::size_t attention_floats(const AttentionShape& shape, std::size_t longest) const override {
    return real_->attention_floats(shape, longest);
  }
  std::size_t word_floats(std::size_t rows, std::size_t words) const override {
    return real_->word_floats(rows, words);
  }
  std::size_t part_floats(std::size_t rows, std::size_t columns,
                          std::size_t chosen) const override {
    return real_->part_floats(rows, columns, chosen);
  }
  std::size_t middle_floats(std::size_t rows, std::size_t columns) const override {
    return real_->middle_floats(rows, columns);
  }
  std::size_t second_linear_floats(std::size_t rows, std::size_t columns) const override {
    return real_->second_linear_floats(rows, columns);
  }

 protected:
  std::unique_ptr<Backend> real_;
};

}  // namespace sheaf::kernels
