#pragma once

#include <span>

#include "kernels/ops.h"

namespace sheaf::kernels {

// What a backend of float32 alone implements, as the reference is: ops.h's operations
// over float matrices.
class FloatBackend : public Backend {
 public:
  virtual void embed(const Embedding& table, const Texts& texts, MatrixSpan out) = 0;
  virtual void linear(MatrixView x, const Linear& weight, Activation activation,
                      MatrixView residual, MatrixSpan out) = 0;
  virtual void feed_forward(MatrixView x, const Linear& up, Activation activation,
                            const Linear& down, MatrixView residual, MatrixSpan out) = 0;
  virtual void attention(MatrixView qkv, std::span<const std::uint32_t> cu_seqlens,
                         const AttentionShape& shape, MatrixSpan out) = 0;
  virtual void add_residual(MatrixView x, MatrixView residual, MatrixSpan out) = 0;
  virtual void normalize(MatrixView x, const Norm& norm, MatrixView residual, MatrixSpan out) = 0;
  virtual void turn_heads(MatrixSpan x, std::span<const std::uint32_t> cu_seqlens,
                          std::size_t heads, const HeadNorms& norms, const Rotary& rotary) = 0;
  virtual void gate(MatrixView x, Activation activation, MatrixSpan out) = 0;
  virtual void mix_experts(MatrixView x, MatrixView logits, const Experts& experts,
                           MatrixView residual, MatrixSpan out) = 0;
  virtual void pool(MatrixView x, std::span<const std::uint32_t> cu_seqlens,
                    std::span<const Reduction> reductions, std::span<const PoolItem> items,
                    MatrixSpan out) = 0;
  virtual void weigh_words(MatrixView x, std::span<const std::uint32_t> cu_seqlens,
                           const Linear& words, WordWeights how, MatrixSpan out) = 0;

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) final {
    embed(table, texts, out.floats());
  }
  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) final {
    linear(x.floats(), weight, activation, residual.floats(), out.floats());
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) final {
    feed_forward(x.floats(), up, activation, down, residual.floats(), out.floats());
  }
  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) final {
    attention(qkv.floats(), cu_seqlens, shape, out.floats());
  }
  void add_residual(MatrixView x, TypedView residual, TypedSpan out) final {
    add_residual(x, residual.floats(), out.floats());
  }
  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) final {
    normalize(x.floats(), norm, residual.floats(), out.floats());
  }
  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) final {
    turn_heads(x.floats(), cu_seqlens, heads, norms, rotary);
  }
  void gate(TypedView x, Activation activation, TypedSpan out) final {
    gate(x.floats(), activation, out.floats());
  }
  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) final {
    mix_experts(x.floats(), logits, experts, residual.floats(), out.floats());
  }
  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) final {
    pool(x.floats(), cu_seqlens, reductions, items, out);
  }
  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) final {
    weigh_words(x.floats(), cu_seqlens, words, how, out);
  }
};

}  // namespace sheaf::kernels
