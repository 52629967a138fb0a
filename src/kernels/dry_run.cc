#include "kernels/dry_run.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/wrapped.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {
namespace {

class DryRun final : public Wrapped {
 public:
  explicit DryRun(std::unique_ptr<Backend> real) : Wrapped(std::move(real)) {}

  void pack_linear(MatrixView, const Known&, float*, Role) const override {}
  Result<std::unique_ptr<Sums>> join(Communicator& group) override { return make_host_sums(group); }
  void pack_table(MatrixView, float*) const override {}

  void embed(const Embedding&, const Texts&, TypedSpan) override {}
  void linear(TypedView x, const Linear& weight, Activation, TypedView, TypedSpan) override {
    linear_scratch_.reserve(real_->linear_floats(x.rows, weight.inputs), memory());
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear&, TypedView,
                    TypedSpan) override {
    linear(x, up, activation, {}, {});
    linear_scratch_.reserve(second_linear_floats(x.rows, up.outputs), memory());
    middle_.reserve(middle_floats(x.rows, up.outputs), memory());
  }
  void attention(TypedView, std::span<const std::uint32_t> cu_seqlens, const AttentionShape& shape,
                 TypedSpan) override {
    std::size_t longest = 0;
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
      longest = std::max<std::size_t>(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
    scratch_.reserve(real_->attention_floats(shape, longest), memory());
  }
  void add_residual(MatrixView, TypedView, TypedSpan) override {}
  void normalize(TypedView, const Norm&, TypedView, TypedSpan) override {}
  void turn_heads(TypedSpan, std::span<const std::uint32_t>, std::size_t, const HeadNorms&,
                  const Rotary&) override {}
  void gate(TypedView, Activation, TypedSpan) override {}
  void mix_experts(TypedView x, MatrixView, const Experts& experts, TypedView, TypedSpan) override {
    experts_.reserve(part_floats(x.rows, x.columns, experts.chosen), memory());
    if (memory().is_host() && state_dtype() != Dtype::float32)
      expert_sums_.reserve(x.rows * x.columns);
    linear_scratch_.reserve(real_->linear_floats(preferred_rows(x.columns), x.columns), memory());
    const std::size_t wide = experts.up.front().outputs;
    linear_scratch_.reserve(second_linear_floats(preferred_rows(x.columns), wide), memory());
    middle_.reserve(middle_floats(preferred_rows(x.columns), wide), memory());
  }
  void pool(TypedView, std::span<const std::uint32_t>, std::span<const Reduction>,
            std::span<const PoolItem>, MatrixSpan) override {}
  // No word weighs anything, or the rows made of it would have any length.
  void weigh_words(TypedView x, std::span<const std::uint32_t>, const Linear& words, WordWeights,
                   MatrixSpan out) override {
    words_.reserve(word_floats(x.rows, words.outputs), memory());
    const std::vector<float> zeros(out.columns);
    for (std::size_t i = 0; i < out.rows; ++i)
      memory().write(zeros.data(), out.columns * sizeof(float), out.row(i));
  }

 private:
  tensor::Buffer scratch_, linear_scratch_, middle_, experts_, expert_sums_, words_;
};

}  // namespace

std::unique_ptr<Backend> make_dry_run(std::unique_ptr<Backend> real) {
  return std::make_unique<DryRun>(std::move(real));
}

}  // namespace sheaf::kernels
