#include "kernels/ranks/ranked.h"

#include <cassert>
#include <cstdint>
#include <utility>

#include "kernels/wrapped.h"
#include "tensor/bfloat16.h"

namespace sheaf::kernels {
namespace {

class Ranked final : public Wrapped {
 public:
  Ranked(std::unique_ptr<Backend> real, Communicator& communicator)
      : Wrapped(std::move(real)), communicator_(communicator) {
    if (!memory().is_host())
      status_ = Error{
          ErrorCode::unsupported,
          "ranks add up what lies in this processor's memory, not what " + name() + " computes"};
  }

  Status status() const override { return status_.ok() ? real_->status() : status_; }

  // Not recorded: sums are of what other ranks do meanwhile.
  void begin_pass(std::span<const std::uint32_t>) override {}

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    if (!weight.partial) return real_->linear(x, weight, activation, residual, out);
    assert(activation == Activation::none);  // of the whole sum it would have to be
    if (out.dtype == Dtype::float32) {
      real_->linear(x, of_rank(weight), activation, of_rank(residual), out);
      return add_up(out.floats());
    }
    const MatrixSpan part = part_.matrix(out.rows, out.columns);
    real_->linear(x, of_rank(weight), activation, {}, part);
    add_up(part);
    to_states(part, residual, out);
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    if (!down.partial) return real_->feed_forward(x, up, activation, down, residual, out);
    if (out.dtype == Dtype::float32) {
      real_->feed_forward(x, up, activation, of_rank(down), of_rank(residual), out);
      return add_up(out.floats());
    }
    const TypedSpan middle = states(middle_, x.rows, up.outputs);
    real_->linear(x, up, activation, {}, middle);
    linear(middle, down, Activation::none, residual, out);
  }

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    real_->embed(table, texts, out);
  }
  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    real_->attention(qkv, cu_seqlens, shape, out);
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
  bool is_first() const { return communicator_.rank() == 0; }
  Linear of_rank(Linear weight) const {
    if (!is_first()) weight.bias = nullptr, weight.state_bias = nullptr;
    return weight;
  }
  TypedView of_rank(TypedView residual) const { return is_first() ? residual : TypedView(); }

  void add_up(MatrixSpan part) {
    if (status_.ok()) status_ = communicator_.sum(part);
  }
  // sum + residual, rounded: the same on all ranks.
  static void to_states(MatrixView sum, TypedView residual, TypedSpan out) {
    assert(out.dtype == Dtype::bfloat16);
    for (std::size_t t = 0; t < sum.rows; ++t) {
      const auto* added = reinterpret_cast<const std::uint16_t*>(residual.data);
      auto* to = reinterpret_cast<std::uint16_t*>(out.data) + t * out.stride;
      for (std::size_t i = 0; i < sum.columns; ++i)
        to[i] = tensor::to_bfloat16(
            sum.row(t)[i] +
            (added == nullptr ? 0 : tensor::from_bfloat16(added[t * residual.stride + i])));
    }
  }

  Communicator& communicator_;
  Status status_;
  // Where states are not float32: of this rank, the part of a sum, and what lies before it.
  tensor::Buffer part_, middle_;
};

}  // namespace

std::unique_ptr<Backend> make_ranked(std::unique_ptr<Backend> real, Communicator& communicator) {
  return std::make_unique<Ranked>(std::move(real), communicator);
}

}  // namespace sheaf::kernels
