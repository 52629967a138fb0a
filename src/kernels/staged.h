#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/wrapped.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {

// A device's backend that takes operands from the heap, for tests: around each operation all that
// it reads is copied to the device, and what it writes back, with what lies between its rows.
class Staged final : public Wrapped {
 public:
  explicit Staged(std::unique_ptr<Backend> real) : Wrapped(std::move(real)) {}

  tensor::Memory& memory() const override { return tensor::host_memory(); }

  void embed(const Embedding& table, const Texts& texts, MatrixSpan out) override {
    Embedding there = table;
    there.words = put(table.words);
    there.packed_words = put(table.packed_words);
    there.positions = put(table.positions);
    there.types = put(table.types);
    there.norm = put(table.norm, out.columns);
    finish(out, [&](MatrixSpan to) { real_->embed(there, texts, to); });
  }
  void linear(MatrixView x, const Linear& weight, Activation activation, MatrixView residual,
              MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) {
      real_->linear(put(x), put(weight), activation, put(residual), to);
    });
  }
  void feed_forward(MatrixView x, const Linear& up, Activation activation, const Linear& down,
                    MatrixView residual, MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) {
      real_->feed_forward(put(x), put(up), activation, put(down), put(residual), to);
    });
  }
  void attention(MatrixView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, MatrixSpan out) override {
    AttentionShape there = shape;
    RelativePositions& relative = there.relative;
    const std::size_t table_floats =
        shape.heads * packed_table_floats(shape.head_size, relative.count);
    there.bias.values = put(shape.bias.values, shape.heads * (2 * shape.bias.reach + 1));
    relative.rows = put(relative.rows, 2 * relative.reach + 1);
    relative.keys = put(relative.keys, table_floats);
    relative.queries = put(relative.queries, table_floats);
    finish(out, [&](MatrixSpan to) { real_->attention(put(qkv), cu_seqlens, there, to); });
  }
  void normalize(MatrixView x, const Norm& norm, MatrixView residual, MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) {
      real_->normalize(put(x), put(norm, x.columns), put(residual), to);
    });
  }
  void normalize_heads(MatrixSpan x, std::size_t heads, const Norm& norm) override {
    finish(x,
           [&](MatrixSpan to) { real_->normalize_heads(to, heads, put(norm, x.columns / heads)); });
  }
  void rotate(MatrixSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
              const Rotary& rotary) override {
    std::size_t longest = 0;
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
      longest = std::max<std::size_t>(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
    const std::size_t angles = longest * rotary.pairs;
    const Rotary there = {put(rotary.cosines, angles), put(rotary.sines, angles), rotary.pairs};
    finish(x, [&](MatrixSpan to) { real_->rotate(to, cu_seqlens, heads, there); });
  }
  void gate(MatrixView x, Activation activation, MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) { real_->gate(put(x), activation, to); });
  }
  void mix_experts(MatrixView x, MatrixView logits, const Experts& experts, MatrixView residual,
                   MatrixSpan out) override {
    std::vector<Linear> up, down;
    for (const Linear& weight : experts.up) up.push_back(put(weight));
    for (const Linear& weight : experts.down) down.push_back(put(weight));
    Experts there = experts;
    there.up = up;
    there.down = down;
    there.bias = put(experts.bias, out.columns);
    finish(out, [&](MatrixSpan to) {
      real_->mix_experts(put(x), put(logits), there, put(residual), to);
    });
  }
  void pool(MatrixView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    finish(out, [&](MatrixSpan to) { real_->pool(put(x), cu_seqlens, reductions, items, to); });
  }
  void weigh_words(MatrixView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    finish(out,
           [&](MatrixSpan to) { real_->weigh_words(put(x), cu_seqlens, put(words), how, to); });
  }

 private:
  // A copy on the device until the operation ends; of what is there already, the same one.
  template <class T>
  const T* put(const T* host, std::size_t count) {
    if (host == nullptr || count == 0) return nullptr;
    const auto [found, is_new] = copies_.try_emplace(host);
    if (is_new) found->second.hold(std::span(host, count), real_->memory());
    return reinterpret_cast<const T*>(found->second.reserve(0));
  }
  static std::size_t extent(MatrixView x) {
    return x.rows == 0 ? 0 : (x.rows - 1) * x.stride + x.columns;
  }
  MatrixView put(MatrixView x) { return {put(x.data, extent(x)), x.rows, x.columns, x.stride}; }
  Linear put(const Linear& weight) {
    Linear there = weight;
    there.weight = put(weight.weight, packed_floats(weight.inputs, weight.outputs));
    there.bias = put(weight.bias, weight.outputs);
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
    run({const_cast<float*>(there.data), out.rows, out.columns, out.stride});
    if (there.data != nullptr)
      real_->memory().read(there.data, extent(out) * sizeof(float), out.data);
    copies_.clear();
  }

  std::map<const void*, tensor::Buffer> copies_;  // by place on the heap
};

}  // namespace sheaf::kernels
