#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/wrapped.h"
#include "tensor/bfloat16.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {

// A backend that takes operands from the heap, for tests, of a device or with states in bfloat16:
// around each operation all that it reads is copied to the device, and what it writes back, with
// what lies between its rows. Its states are float32, and rounded on the way.
class Staged final : public Wrapped {
 public:
  explicit Staged(std::unique_ptr<Backend> real) : Wrapped(std::move(real)) {}

  tensor::Memory& memory() const override { return tensor::host_memory(); }
  Dtype state_dtype() const override { return Dtype::float32; }

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    Embedding there = table;
    there.words = put(table.words);
    there.packed_words = put(table.packed_words);
    there.positions = put(table.positions);
    there.types = put(table.types);
    there.norm = put(table.norm, out.columns);
    finish(out, [&](TypedSpan to) { real_->embed(there, texts, to); });
  }
  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    finish(out, [&](TypedSpan to) {
      real_->linear(put(x), put(weight), activation, put(residual), to);
    });
  }
  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    finish(out, [&](TypedSpan to) {
      real_->feed_forward(put(x), put(up), activation, put(down), put(residual), to);
    });
  }
  void feed_forward_normalized(TypedSpan x, const Linear& up, Activation activation,
                               const Linear& down, const Norm& norm, TypedSpan sum) override {
    const TypedSpan between = real_->states(between_, sum.rows, sum.columns);
    finish(x, [&](TypedSpan to) {
      real_->feed_forward_normalized(to, put(up), activation, put(down), put(norm, x.columns),
                                     between);
    });
  }
  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    AttentionShape there = shape;
    RelativePositions& relative = there.relative;
    const std::size_t table_floats =
        shape.heads * packed_table_floats(shape.head_size, relative.count);
    there.bias.values = put(shape.bias.values, shape.heads * (2 * shape.bias.reach + 1));
    relative.rows = put(relative.rows, 2 * relative.reach + 1);
    relative.keys = put(relative.keys, table_floats);
    relative.queries = put(relative.queries, table_floats);
    finish(out, [&](TypedSpan to) { real_->attention(put(qkv), cu_seqlens, there, to); });
  }
  void add_residual(MatrixView x, TypedView residual, TypedSpan out) override {
    finish(out, [&](TypedSpan to) { real_->add_residual(put(x), put(residual), to); });
  }
  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) override {
    finish(out, [&](TypedSpan to) {
      real_->normalize(put(x), put(norm, x.columns), put(residual), to);
    });
  }
  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    std::size_t longest = 0;
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
      longest = std::max<std::size_t>(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
    const std::size_t angles = longest * rotary.pairs;
    const std::size_t size = x.columns / heads;
    const HeadNorms there = {put(norms.query, size), put(norms.key, size), norms.queries};
    const Rotary turns = {put(rotary.cosines, angles), put(rotary.sines, angles), rotary.pairs};
    finish(x, [&](TypedSpan to) { real_->turn_heads(to, cu_seqlens, heads, there, turns); });
  }
  void gate(TypedView x, Activation activation, TypedSpan out) override {
    finish(out, [&](TypedSpan to) { real_->gate(put(x), activation, to); });
  }
  void linear_gated(TypedView x, const Linear& weight, Activation activation, TypedSpan halves,
                    TypedSpan out) override {
    const TypedSpan between = real_->states(between_, halves.rows, halves.columns);
    finish(out, [&](TypedSpan to) {
      real_->linear_gated(put(x), put(weight), activation, between, to);
    });
  }
  void feed_forward_gated(TypedView x, const Linear& up, Activation activation, const Linear& down,
                          TypedView residual, TypedSpan halves, TypedSpan gated,
                          TypedSpan out) override {
    const TypedSpan first = real_->states(between_, halves.rows, halves.columns);
    const TypedSpan second = real_->states(gated_, gated.rows, gated.columns);
    finish(out, [&](TypedSpan to) {
      real_->feed_forward_gated(put(x), put(up), activation, put(down), put(residual), first,
                                second, to);
    });
  }
  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) override {
    std::vector<Linear> up, down;
    for (const Linear& weight : experts.up) up.push_back(put(weight));
    for (const Linear& weight : experts.down) down.push_back(put(weight));
    Experts there = experts;
    there.up = up;
    there.down = down;
    there.bias = put(experts.bias, out.columns);
    finish(out, [&](TypedSpan to) {
      real_->mix_experts(put(x), put(logits), there, put(residual), to);
    });
  }
  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) { real_->pool(put(x), cu_seqlens, reductions, items, to); });
  }
  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    finish(out,
           [&](MatrixSpan to) { real_->weigh_words(put(x), cu_seqlens, put(words), how, to); });
  }

 private:
  // A copy on the device until the operation ends; of what is there already, the same one.
  template <class T>
  const T* put(const T* host, std::size_t count) {
    if (host == nullptr || count == 0 || real_->memory().is_host()) return host;
    const auto [found, is_new] = copies_.try_emplace(host);
    if (is_new) found->second.hold(std::span(host, count), real_->memory());
    return reinterpret_cast<const T*>(found->second.reserve(0));
  }
  MatrixView put(MatrixView x) { return {put(x.data, extent_of(x)), x.rows, x.columns, x.stride}; }
  TypedView put(TypedView x) {
    if (real_->state_dtype() == Dtype::float32) return put(x.floats());
    const std::byte* there = put_rounded(x.floats().data, extent_of(x));
    return {there, Dtype::bfloat16, x.rows, x.columns, x.stride};
  }
  const std::byte* put_rounded(const float* host, std::size_t count) {
    if (host == nullptr || count == 0) return nullptr;
    const auto [found, is_new] = rounded_.try_emplace(host);
    float* const copy = found->second.reserve((count + 1) / 2, real_->memory());
    if (is_new) {
      const auto words = tensor::to_bfloat16({host, count});
      real_->memory().write(words.data(), words.size() * sizeof words[0], copy);
    }
    return reinterpret_cast<const std::byte*>(copy);
  }
  Linear put(const Linear& weight) {
    Linear there = weight;
    there.weight = put(weight.weight, packed_floats(weight.inputs, weight.outputs, weight.role));
    there.bias = put(weight.bias, weight.outputs);
    if (real_->state_dtype() != Dtype::float32)
      there.state_bias = put_rounded(weight.bias, weight.outputs);
    return there;
  }
  Norm put(const Norm& norm, std::size_t columns) {
    Norm there = norm;
    there.scale = put(norm.scale, columns);
    there.shift = put(norm.shift, columns);
    return there;
  }

  template <class Run>
  void finish(MatrixSpan out, Run run) {
    const MatrixView there = put(MatrixView(out));
    run(MatrixSpan{const_cast<float*>(there.data), out.rows, out.columns, out.stride});
    take_back(there, out);
  }
  template <class Run>
  void finish(TypedSpan out, Run run) {
    const TypedView there = put(TypedView(out));
    run(TypedSpan{const_cast<std::byte*>(there.data), there.dtype, out.rows, out.columns,
                  out.stride});
    take_back(there, out.floats());
  }
  void take_back(TypedView there, MatrixSpan out) {
    std::vector<float> values;
    tensor::on_host(there, real_->memory(), values);
    std::ranges::copy(values, out.data);
    copies_.clear();
    rounded_.clear();
  }

  tensor::Buffer between_, gated_;
  std::map<const void*, tensor::Buffer> copies_;   // by place on the heap
  std::map<const void*, tensor::Buffer> rounded_;  // of states and biases, the same
};

}  // namespace sheaf::kernels
