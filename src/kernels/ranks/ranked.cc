#include "kernels/ranks/ranked.h"

#include <cassert>
#include <utility>

#include "kernels/ranks/sums.h"
#include "kernels/wrapped.h"

namespace sheaf::kernels {
namespace {

class Ranked final : public Wrapped {
 public:
  Ranked(std::unique_ptr<Backend> real, bool is_first, std::unique_ptr<Sums> sums)
      : Wrapped(std::move(real)), is_first_(is_first), sums_(std::move(sums)) {}

  Status status() const override {
    SHEAF_TRY(status_);
    SHEAF_TRY(sums_->status());
    return real_->status();
  }

  // Not recorded: sums are of what other ranks do meanwhile.
  void begin_pass(std::span<const std::uint32_t>, std::span<const std::uint32_t>) override {}

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    if (!weight.partial) return real_->linear(x, weight, activation, residual, out);
    assert(activation == Activation::none);  // of the whole sum it would have to be
    if (out.dtype == Dtype::float32 && out.stride == out.columns) {
      real_->linear(x, of_rank(weight), activation, of_rank(residual), out);
      return add_up(out.floats());
    }
    const MatrixSpan part = part_.matrix(out.rows, out.columns, memory());
    real_->linear(x, of_rank(weight), activation, {}, part);
    add_up(part);
    real_->add_residual(part, residual, out);
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    if (!down.partial) return real_->feed_forward(x, up, activation, down, residual, out);
    if (out.dtype == Dtype::float32 && out.stride == out.columns) {
      real_->feed_forward(x, up, activation, of_rank(down), of_rank(residual), out);
      return add_up(out.floats());
    }
    const TypedSpan middle = states(middle_, x.rows, up.outputs);
    real_->linear(x, up, activation, {}, middle);
    linear(middle, down, Activation::none, residual, out);
  }
  void feed_forward_normalized(TypedSpan x, const Linear& up, Activation activation,
                               const Linear& down, const Norm& norm, TypedSpan sum) override {
    if (down.partial) return Wrapped::feed_forward_normalized(x, up, activation, down, norm, sum);
    real_->feed_forward_normalized(x, up, activation, down, norm, sum);
  }

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    real_->embed(table, texts, out);
  }
  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    real_->attention(qkv, cu_seqlens, shape, out);
  }
  void add_residual(MatrixView x, TypedView residual, TypedSpan out) override {
    real_->add_residual(x, residual, out);
  }
  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) override {
    real_->normalize(x, norm, residual, out);
  }
  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    real_->turn_heads(x, cu_seqlens, heads, norms, rotary);
  }
  void gate(TypedView x, Activation activation, TypedSpan out) override {
    real_->gate(x, activation, out);
  }
  void linear_gated(TypedView x, const Linear& weight, Activation activation, TypedSpan halves,
                    TypedSpan out) override {
    assert(!weight.partial);  // of the whole sum the gate would have to be
    real_->linear_gated(x, weight, activation, halves, out);
  }
  void feed_forward_gated(TypedView x, const Linear& up, Activation activation, const Linear& down,
                          TypedView residual, TypedSpan halves, TypedSpan gated,
                          TypedSpan out) override {
    if (down.partial)
      return Wrapped::feed_forward_gated(x, up, activation, down, residual, halves, gated, out);
    real_->feed_forward_gated(x, up, activation, down, residual, halves, gated, out);
  }
  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) override {
    real_->mix_experts(x, logits, experts, residual, out);
  }
  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    real_->pool(x, cu_seqlens, reductions, items, out);
  }
  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    real_->weigh_words(x, cu_seqlens, words, how, out);
  }

 private:
  Linear of_rank(Linear weight) const {
    if (!is_first_) weight.bias = nullptr, weight.state_bias = nullptr;
    return weight;
  }
  TypedView of_rank(TypedView residual) const { return is_first_ ? residual : TypedView(); }

  // Nothing of a backend that failed, which may have had no memory for it: the others hear of it
  // when this rank ends.
  void add_up(MatrixSpan part) {
    if (status().ok()) status_ = sums_->add_up(part);
  }

  const bool is_first_;
  const std::unique_ptr<Sums> sums_;
  Status status_;
  // Of this rank, the part of a sum that is not made where it is wanted, and what lies before it.
  tensor::Buffer part_, middle_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_ranked(std::unique_ptr<Backend> real, Communicator& group) {
  SHEAF_ASSIGN(auto sums, real->join(group));
  return std::unique_ptr<Backend>(
      std::make_unique<Ranked>(std::move(real), group.rank() == 0, std::move(sums)));
}

}  // namespace sheaf::kernels
