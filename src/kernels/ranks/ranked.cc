#include "kernels/ranks/ranked.h"

#include <cassert>
#include <utility>

#include "kernels/wrapped.h"

namespace sheaf::kernels {
namespace {

class Ranked final : public Wrapped {
 public:
  Ranked(std::unique_ptr<Backend> real, Communicator& communicator)
      : Wrapped(std::move(real)), communicator_(communicator) {
    if (!memory().is_host() || state_dtype() != Dtype::float32)
      status_ =
          Error{ErrorCode::unsupported, "ranks add up float32 of this processor's memory, and " +
                                            name() + " keeps something else"};
  }

  Status status() const override { return status_.ok() ? real_->status() : status_; }

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    if (!weight.partial) return real_->linear(x, weight, activation, residual, out);
    assert(activation == Activation::none);  // of the whole sum it would have to be
    real_->linear(x, of_rank(weight), activation, of_rank(residual), out);
    add_up(out);
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    if (!down.partial) return real_->feed_forward(x, up, activation, down, residual, out);
    real_->feed_forward(x, up, activation, of_rank(down), of_rank(residual), out);
    add_up(out);
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

  void add_up(TypedSpan out) {
    if (status_.ok()) status_ = communicator_.sum(out.floats());
  }

  Communicator& communicator_;
  Status status_;
};

}  // namespace

std::unique_ptr<Backend> make_ranked(std::unique_ptr<Backend> real, Communicator& communicator) {
  return std::make_unique<Ranked>(std::move(real), communicator);
}

}  // namespace sheaf::kernels
