#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/expert_shares.h"
#include "kernels/float_backend.h"

namespace sheaf::kernels {
namespace {

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::relu:
      return std::max(x, 0.0);
  }
  return x;
}

void normalize_row(const std::vector<double>& x, const Norm& norm, float* out) {
  const double n = static_cast<double>(x.size());
  double mean = 0;
  if (norm.centered)
    for (double value : x) mean += value / n;
  double variance = 0;
  for (double value : x) variance += (value - mean) * (value - mean) / n;
  const double inverse = 1 / std::sqrt(variance + static_cast<double>(norm.epsilon));
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = static_cast<float>((x[i] - mean) * inverse * norm.scale[i] +
                                (norm.shift != nullptr ? norm.shift[i] : 0));
}

double reduce(Reduction reduction, MatrixView x, std::size_t column, std::uint32_t place) {
  const double n = static_cast<double>(x.rows);
  double sum = 0;
  double weighted = 0;
  double weights = 0;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t t = 0; t < x.rows; ++t) {
    const double value = x.row(t)[column];
    sum += value;
    weighted += value * static_cast<double>(place + t + 1);
    weights += static_cast<double>(place + t + 1);
    if (value > largest || std::isnan(value)) largest = value;
  }
  switch (reduction) {
    case Reduction::cls:
      return x.row(0)[column];
    case Reduction::mean:
      return sum / n;
    case Reduction::max:
      return largest;
    case Reduction::mean_sqrt_len:
      return sum / std::sqrt(n);
    case Reduction::weighted_mean:
      return weighted / weights;
    case Reduction::last_token:
      return x.row(x.rows - 1)[column];
  }
  return 0;
}

class Reference final : public FloatBackend {
 public:
  explicit Reference(const BackendOptions& options) : progress_(options.progress) {}

  std::string name() const override { return "reference"; }

  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role /*role*/) const override {
    return (inputs * outputs + 15) / 16 * 16;
  }

  void pack_linear(MatrixView weight, const Known& /*known*/, float* packed,
                   Role /*role*/) const override {
    for (std::size_t n = 0; n < weight.rows; ++n)
      std::copy_n(weight.row(n), weight.columns, packed + n * weight.columns);
  }

  std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const override {
    return packed_floats(inputs, outputs, Role::other);
  }
  void pack_table(MatrixView table, float* packed) const override {
    pack_linear(table, {}, packed, Role::other);
  }
  Dtype dtype() const override { return Dtype::float32; }

  std::size_t preferred_rows(std::size_t /*columns*/) const override { return 64; }
  std::size_t row_step() const override { return 1; }
  std::size_t linear_floats(std::size_t, std::size_t) const override { return 0; }
  std::size_t attention_floats(const AttentionShape&, std::size_t) const override { return 0; }

  void embed(const Embedding& table, const Texts& texts, MatrixSpan out) override {
    std::vector<double> row(out.columns);
    for (std::size_t text = 0; text + 1 < texts.cu_seqlens.size(); ++text) {
      const std::size_t first = texts.cu_seqlens[text];
      std::size_t counted = 0;
      for (std::size_t t = first; t < texts.cu_seqlens[text + 1]; ++t) {
        const auto id = static_cast<std::size_t>(texts.ids[t]);
        const float* word = table.words.data != nullptr
                                ? table.words.row(id)
                                : table.packed_words.weight + id * out.columns;
        row.assign(word, word + out.columns);
        if (const float* position = table.position_of(texts.ids[t], counted)) add(row, position);
        if (table.types.data != nullptr) add(row, table.types.row(texts.type_of(text, t - first)));
        if (table.norm.scale != nullptr)
          normalize_row(row, table.norm, out.row(t));
        else
          std::copy(row.begin(), row.end(), out.row(t));
        advance();
      }
    }
  }

  void linear(MatrixView x, const Linear& weight, Activation activation, MatrixView residual,
              MatrixSpan out) override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (std::size_t n = 0; n < weight.outputs; ++n) {
        double sum = weight.bias != nullptr ? weight.bias[n] : 0;
        for (std::size_t k = 0; k < weight.inputs; ++k)
          sum += double{x.row(t)[k]} * weight.weight[n * weight.inputs + k];
        sum = activate(activation, sum);
        if (residual.data != nullptr) sum += residual.row(t)[n];
        out.row(t)[n] = static_cast<float>(sum);
      }
      advance();
    }
  }

  std::size_t middle_floats(std::size_t rows, std::size_t columns) const override {
    return rows * columns;
  }
  std::size_t second_linear_floats(std::size_t, std::size_t) const override { return 0; }
  void feed_forward(MatrixView x, const Linear& up, Activation activation, const Linear& down,
                    MatrixView residual, MatrixSpan out) override {
    std::vector<float> middle(x.rows * up.outputs);
    linear(x, up, activation, {}, {middle.data(), x.rows, up.outputs});
    linear({middle.data(), x.rows, up.outputs}, down, Activation::none, residual, out);
  }

  void attention(MatrixView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, MatrixSpan out) override {
    const std::size_t size = shape.head_size;
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text) {
      const std::size_t first = cu_seqlens[text];
      const MatrixView rows = qkv.slice_rows(first, cu_seqlens[text + 1] - first);
      for (std::size_t head = 0; head < shape.heads; ++head) {
        const std::size_t key = shape.heads + head / (shape.heads / shape.kv_heads);
        attend(rows.slice_columns(head * size, size), rows.slice_columns(key * size, size),
               rows.slice_columns((key + shape.kv_heads) * size, size), shape, head,
               out.slice_rows(first, rows.rows).slice_columns(head * size, size));
      }
    }
  }

  void add_residual(MatrixView x, MatrixView residual, MatrixSpan out) override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (std::size_t i = 0; i < x.columns; ++i)
        out.row(t)[i] = x.row(t)[i] + (residual.data == nullptr ? 0 : residual.row(t)[i]);
      advance();
    }
  }

  void normalize(MatrixView x, const Norm& norm, MatrixView residual, MatrixSpan out) override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      normalize_row({x.row(t), x.row(t) + x.columns}, norm, out.row(t));
      if (residual.data != nullptr)
        for (std::size_t i = 0; i < x.columns; ++i) out.row(t)[i] += residual.row(t)[i];
      advance();
    }
  }

  void turn_heads(MatrixSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    const std::size_t size = x.columns / heads;
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
      for (std::size_t t = cu_seqlens[text]; t < cu_seqlens[text + 1]; ++t) {
        for (std::size_t i = 0; i < heads; ++i) {
          float* head = x.row(t) + i * size;
          if (const Norm& norm = norms.of_head(i); norm.scale != nullptr)
            normalize_row({head, head + size}, norm, head);
          turn(head, (t - cu_seqlens[text]) * rotary.pairs, rotary);
        }
        advance();
      }
  }

  void gate(MatrixView x, Activation activation, MatrixSpan out) override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (std::size_t i = 0; i < out.columns; ++i)
        out.row(t)[i] =
            static_cast<float>(activate(activation, x.row(t)[i]) * x.row(t)[out.columns + i]);
      advance();
    }
  }

  void mix_experts(MatrixView x, MatrixView logits, const Experts& experts, MatrixView residual,
                   MatrixSpan out) override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      std::vector<double> sum(out.columns);
      if (experts.bias != nullptr) add(sum, experts.bias);
      if (residual.data != nullptr) add(sum, residual.row(t));
      std::vector<ExpertShare> chosen(experts.chosen);
      largest_shares({logits.row(t), logits.columns}, chosen);
      for (const auto& [expert, share] : chosen) {
        std::vector<float> part(out.columns);
        feed_forward(x.slice_rows(t, 1), experts.up[expert], experts.activation,
                     experts.down[expert], {}, {part.data(), 1, part.size()});
        for (std::size_t i = 0; i < part.size(); ++i) sum[i] += double{share} * part[i];
      }
      std::copy(sum.begin(), sum.end(), out.row(t));
    }
  }

  void pool(MatrixView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    for (std::size_t text = 0; text < items.size(); ++text) {
      const std::size_t first = cu_seqlens[text];
      const MatrixView rows = x.slice_rows(first, cu_seqlens[text + 1] - first);
      std::vector<double> vector;
      for (Reduction reduction : reductions)
        for (std::size_t i = 0; i < x.columns; ++i)
          vector.push_back(reduce(reduction, rows, i, items[text].place));
      vector.resize(items[text].dimensions);
      double squares = 0;
      for (double value : vector) squares += value * value;
      const double norm = items[text].normalize ? std::max(std::sqrt(squares), 1e-12) : 1;
      for (std::size_t i = 0; i < vector.size(); ++i)
        out.row(text)[i] = static_cast<float>(vector[i] / norm);
      advance();
    }
  }

  void weigh_words(MatrixView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    for (std::size_t text = 0; text < out.rows; ++text)
      for (std::size_t w = 0; w < words.outputs; ++w) {
        double weight = 0;
        for (std::size_t t = cu_seqlens[text]; t < cu_seqlens[text + 1]; ++t) {
          double logit = words.bias != nullptr ? words.bias[w] : 0;
          for (std::size_t k = 0; k < words.inputs; ++k)
            logit += double{x.row(t)[k]} * words.weight[w * words.inputs + k];
          double of_token = logit <= 0 ? 0 : logit;
          for (std::uint32_t i = 0; i < how.logs; ++i) of_token = std::log1p(of_token);
          if (how.sum)
            weight += of_token;
          else if (of_token > weight || std::isnan(of_token))
            weight = of_token;
        }
        out.row(text)[w] = static_cast<float>(weight);
        advance();
      }
  }

 private:
  static void add(std::vector<double>& row, const float* other) {
    for (std::size_t i = 0; i < row.size(); ++i) row[i] += other[i];
  }

  static void turn(float* head, std::size_t at, const Rotary& rotary) {
    for (std::size_t i = 0; i < rotary.pairs; ++i) {
      const double cosine = rotary.cosines[at + i];
      const double sine = rotary.sines[at + i];
      const double a = head[i];
      const double b = head[i + rotary.pairs];
      head[i] = static_cast<float>(a * cosine - b * sine);
      head[i + rotary.pairs] = static_cast<float>(b * cosine + a * sine);
    }
  }

  static double dot(const float* a, const float* b, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += double{a[i]} * b[i];
    return sum;
  }

  static std::size_t row_of(const RelativePositions& relative, std::ptrdiff_t distance) {
    return static_cast<std::size_t>(relative.by_distance()[distance]);
  }

  // One head of one text; all [tokens, head_size].
  void attend(MatrixView q, MatrixView k, MatrixView v, const AttentionShape& shape,
              std::size_t head, MatrixSpan out) {
    const float* bias = shape.bias.of_head(head);
    const RelativePositions& relative = shape.relative;
    const std::size_t head_floats = packed_table_floats(q.columns, relative.count);
    const double scale = 1 / std::sqrt(static_cast<double>(q.columns * (1 + relative.tables())));
    std::vector<double> weights(k.rows);
    for (std::size_t t = 0; t < q.rows; ++t) {
      const std::size_t begin = t - std::min(t, shape.before);
      const std::size_t end = std::min(k.rows, t + shape.after + 1);
      double largest = -std::numeric_limits<double>::infinity();
      for (std::size_t s = begin; s < end; ++s) {
        const auto distance = static_cast<std::ptrdiff_t>(t) - static_cast<std::ptrdiff_t>(s);
        double score = dot(q.row(t), k.row(s), q.columns);
        if (relative.tables() > 0) {
          const std::size_t at = head * head_floats + row_of(relative, distance) * q.columns;
          if (relative.keys != nullptr) score += dot(q.row(t), relative.keys + at, q.columns);
          if (relative.queries != nullptr) score += dot(k.row(s), relative.queries + at, q.columns);
        }
        weights[s] = score * scale;
        if (bias != nullptr) weights[s] += bias[-distance];
        largest = std::max(largest, weights[s]);
      }
      double sum = 0;
      for (std::size_t s = begin; s < end; ++s) sum += weights[s] = std::exp(weights[s] - largest);
      for (std::size_t i = 0; i < v.columns; ++i) {
        double value = 0;
        for (std::size_t s = begin; s < end; ++s) value += weights[s] / sum * v.row(s)[i];
        out.row(t)[i] = static_cast<float>(value);
      }
      advance();
    }
  }

  void advance() {
    if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t>* progress_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(const BackendOptions& options) {
  return std::make_unique<Reference>(options);
}

}  // namespace sheaf::kernels
