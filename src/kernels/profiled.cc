#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "kernels/profile.h"
#include "kernels/wrapped.h"

namespace sheaf::kernels {
namespace {

std::string_view name_of(Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return " gelu";
    case Activation::gelu_tanh:
      return " gelu_tanh";
    case Activation::silu:
      return " silu";
    case Activation::tanh:
      return " tanh";
    case Activation::relu:
      return " relu";
    case Activation::none:
      break;
  }
  return "";
}

double product(std::size_t a, std::size_t b, std::size_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}
// With or without the norm behind it.
Profile::Call feed_forward_call(std::size_t rows, const Linear& up, Activation activation,
                                const Linear& down) {
  return {
      .operation = fmt::format("feed_forward {}->{}{}", up.inputs, up.outputs, name_of(activation)),
      .rows = rows,
      .flop =
          2 * (product(rows, up.inputs, up.outputs) + product(rows, down.inputs, down.outputs))};
}
double bytes_of(TypedView x) {
  return x.data == nullptr ? 0 : product(x.rows, x.columns, size_of(x.dtype));
}

// min(i, most) over i in [0, n), summed.
double sum_up_to(std::size_t n, std::size_t most) {
  const std::size_t rising = std::min(n, most);
  return product(rising, rising + 1) / 2 - static_cast<double>(rising) + product(n - rising, most);
}

// Of one text: scores and what they weigh, for the keys that each query sees, and what its tables
// of positions add.
double attention_flop(const AttentionShape& shape, std::size_t tokens) {
  const double keys = static_cast<double>(tokens) + sum_up_to(tokens, shape.before) +
                      sum_up_to(tokens, shape.after);
  const double tables =
      product(shape.relative.tables(), tokens, std::min(shape.relative.count, 2 * tokens - 1));
  return static_cast<double>(shape.heads * shape.head_size) * (4 * keys + 2 * tables);
}

std::string attention_name(const AttentionShape& shape) {
  std::string name = fmt::format("attention {}", shape.heads);
  if (shape.kv_heads != shape.heads) name += fmt::format("/{}", shape.kv_heads);
  name += fmt::format(" x {}", shape.head_size);
  if (shape.after == 0) name += " causal";
  if (shape.before < AttentionShape::kAll) name += fmt::format(" within {}", shape.before);
  if (shape.bias.values != nullptr) name += " + bias";
  if (shape.relative.rows != nullptr) name += " + places";
  return name;
}

class Profiled final : public Wrapped {
 public:
  Profiled(std::unique_ptr<Backend> real, int threads, Profile& profile)
      : Wrapped(std::move(real)), threads_(threads), profile_(profile) {}

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    const int rows_read = 1 + (table.positions.data != nullptr) + (table.types.data != nullptr);
    timed([&] { real_->embed(table, texts, out); },
          [&] {
            return Profile::Call{
                .operation = fmt::format("embed {}", out.columns),
                .rows = out.rows,
                .bytes = bytes_of(out) + rows_read * product(out.rows, out.columns, sizeof(float))};
          });
  }

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    timed([&] { real_->linear(x, weight, activation, residual, out); },
          [&] {
            return Profile::Call{.operation = fmt::format("linear {}->{}{}{}", weight.inputs,
                                                          weight.outputs, name_of(activation),
                                                          residual.data == nullptr ? "" : " + x"),
                                 .rows = x.rows,
                                 .flop = 2 * product(x.rows, weight.inputs, weight.outputs)};
          });
  }

  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    timed([&] { real_->feed_forward(x, up, activation, down, residual, out); },
          [&] { return feed_forward_call(x.rows, up, activation, down); });
  }

  void feed_forward_normalized(TypedSpan x, const Linear& up, Activation activation,
                               const Linear& down, const Norm& norm, TypedSpan sum) override {
    timed([&] { real_->feed_forward_normalized(x, up, activation, down, norm, sum); },
          [&] { return feed_forward_call(x.rows, up, activation, down); });
  }

  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    timed([&] { real_->attention(qkv, cu_seqlens, shape, out); },
          [&] {
            Profile::Call call{.operation = attention_name(shape), .rows = qkv.rows};
            for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
              call.flop += attention_flop(shape, cu_seqlens[text + 1] - cu_seqlens[text]);
            return call;
          });
  }

  void add_residual(MatrixView x, TypedView residual, TypedSpan out) override {
    timed([&] { real_->add_residual(x, residual, out); },
          [&] {
            return Profile::Call{.operation = fmt::format("add_residual {}", x.columns),
                                 .rows = x.rows,
                                 .bytes = bytes_of(x) + bytes_of(residual) + bytes_of(out)};
          });
  }

  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) override {
    timed([&] { real_->normalize(x, norm, residual, out); },
          [&] {
            return Profile::Call{.operation = fmt::format("normalize {}{}", x.columns,
                                                          residual.data == nullptr ? "" : " + x"),
                                 .rows = x.rows,
                                 .bytes = bytes_of(x) + bytes_of(residual) + bytes_of(out)};
          });
  }

  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    timed([&] { real_->turn_heads(x, cu_seqlens, heads, norms, rotary); },
          [&] {
            return Profile::Call{
                .operation = fmt::format("turn_heads {} x {}{}", heads, x.columns / heads,
                                         norms.query.scale == nullptr ? "" : " normed"),
                .rows = x.rows,
                .bytes = 2 * bytes_of(x)};
          });
  }

  void gate(TypedView x, Activation activation, TypedSpan out) override {
    timed([&] { real_->gate(x, activation, out); },
          [&] {
            return Profile::Call{
                .operation = fmt::format("gate {}{}", out.columns, name_of(activation)),
                .rows = x.rows,
                .bytes = bytes_of(x) + bytes_of(out)};
          });
  }

  void linear_gated(TypedView x, const Linear& weight, Activation activation, TypedSpan halves,
                    TypedSpan out) override {
    timed([&] { real_->linear_gated(x, weight, activation, halves, out); },
          [&] {
            return Profile::Call{.operation = fmt::format("linear_gated {}->{}{}", weight.inputs,
                                                          out.columns, name_of(activation)),
                                 .rows = x.rows,
                                 .flop = 2 * product(x.rows, weight.inputs, weight.outputs)};
          });
  }

  void feed_forward_gated(TypedView x, const Linear& up, Activation activation, const Linear& down,
                          TypedView residual, TypedSpan halves, TypedSpan gated,
                          TypedSpan out) override {
    timed([&] { real_->feed_forward_gated(x, up, activation, down, residual, halves, gated, out); },
          [&] {
            return Profile::Call{.operation = fmt::format("feed_forward_gated {}->{}{}", up.inputs,
                                                          gated.columns, name_of(activation)),
                                 .rows = x.rows,
                                 .flop = 2 * (product(x.rows, up.inputs, up.outputs) +
                                              product(x.rows, down.inputs, down.outputs))};
          });
  }

  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) override {
    timed([&] { real_->mix_experts(x, logits, experts, residual, out); },
          [&] {
            const Linear& up = experts.up.front();
            const Linear& down = experts.down.front();
            return Profile::Call{
                .operation =
                    fmt::format("mix_experts {}/{} {}->{}{}", experts.chosen, experts.up.size(),
                                up.inputs, up.outputs, name_of(experts.activation)),
                .rows = x.rows,
                .flop = 2 * static_cast<double>(experts.chosen) *
                        (product(x.rows, up.inputs, up.outputs) +
                         product(x.rows, down.inputs, down.outputs))};
          });
  }

  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    timed([&] { real_->pool(x, cu_seqlens, reductions, items, out); },
          [&] {
            return Profile::Call{
                .operation = fmt::format("pool {} x {}", reductions.size(), x.columns),
                .rows = x.rows,
                .bytes = bytes_of(x) + bytes_of(out)};
          });
  }

  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    timed([&] { real_->weigh_words(x, cu_seqlens, words, how, out); },
          [&] {
            return Profile::Call{
                .operation = fmt::format("weigh_words {}->{}", words.inputs, words.outputs),
                .rows = x.rows,
                .flop = 2 * product(x.rows, words.inputs, words.outputs)};
          });
  }

 private:
  // `describe` runs off the clock.
  template <class Run, class Describe>
  void timed(Run run, Describe describe) {
    const std::uint64_t busy_before_ns = profile_.busy_ns.load(std::memory_order_relaxed);
    const std::int64_t start_ns = monotonic_ns();
    run();
    const std::int64_t wall_ns = monotonic_ns() - start_ns;
    Profile::Call call = describe();
    call.wall_ns = wall_ns;
    call.busy_ns = static_cast<std::int64_t>(profile_.busy_ns.load(std::memory_order_relaxed) -
                                             busy_before_ns);
    call.threads = threads_;
    profile_.add(call);
  }

  const int threads_;
  Profile& profile_;
};

}  // namespace

std::unique_ptr<Backend> make_profiled(std::unique_ptr<Backend> real, int threads,
                                       Profile& profile) {
  return std::make_unique<Profiled>(std::move(real), threads, profile);
}

}  // namespace sheaf::kernels
